import {
  Api,
  createChannel,
  createRole,
  GatewayClient,
  listRoles,
  register,
  setOverride,
  unwrap,
  updateMember,
  updateServer,
} from '@conntext/sdk'
import { Recorder } from './recorder.ts'

const PASSWORD = 'a long enough password'
const AS_MANY_AT_ONCE = 8
const TEAMS = 4

/** One of somebody's devices. */
export type Device = { name: string; api: Api; gateway: GatewayClient; recorder: Recorder }

export type Community = {
  owner: Api
  devices: Device[]
  /** One that everybody sees. */
  square: string
  channels: string[]
}

export type Size = { people: number; devicesEach: number; channels: number }

/**
 * A server with people on several devices each. Two of three channels are everybody's, the others are for one team of
 * four: so there are several audiences.
 */
export async function settle(baseUrl: string, setupCode: string, size: Size): Promise<Community> {
  const owner = await enter(baseUrl, 'olga', { setupCode })
  const { client } = owner.api
  const as = { client, headers: { 'X-Audit-Reason': 'a test' } }
  await unwrap(updateServer({ ...as, body: { registrationMode: 'open' } }))
  const everyone = (await unwrap(listRoles({ client }))).items.find((role) => role.position === 0)!
  const teams = await inTurn(TEAMS, (team) =>
    unwrap(createRole({ ...as, body: { name: `Team ${team}`, permissions: [] } })),
  )
  const channels = await inTurn(size.channels, async (index) => {
    const { id } = await unwrap(createChannel({ client, body: { name: `channel-${index}`, type: 'text' } }))
    if (index % 3 !== 2) return id
    const only = (targetId: string, rule: { allow: 'channel.view'[]; deny: 'channel.view'[] }) =>
      unwrap(setOverride({ ...as, path: { channelId: id, targetId }, body: rule }))
    await only(teams[index % TEAMS]!.id, { allow: ['channel.view'], deny: [] })
    await only(everyone.id, { allow: [], deny: ['channel.view'] })
    return id
  })
  const accounts = await sideBySide(size.people, (index) => enter(baseUrl, `person-${index}`, {}))
  for (const [index, { userId }] of accounts.entries()) {
    await unwrap(updateMember({ ...as, path: { id: userId }, body: { roleIds: [teams[index % TEAMS]!.id] } }))
  }
  const devices = await sideBySide(size.people * size.devicesEach, (index) =>
    open(`device-${index}`, accounts[index % size.people]!.api),
  )
  return { owner: owner.api, devices, square: channels[0]!, channels }
}

async function enter(baseUrl: string, username: string, code: { setupCode?: string }) {
  const api = new Api({ baseUrl })
  const account = await unwrap(register({ client: api.client, body: { username, password: PASSWORD, ...code } }))
  api.use(account)
  return { api, userId: account.user.id }
}

async function open(name: string, api: Api): Promise<Device> {
  const gateway = new GatewayClient({
    baseUrl: api.baseUrl,
    token: () => api.accessToken(),
    reconnect: { firstMs: 100, longestMs: 1_000 },
  })
  const recorder = new Recorder(gateway)
  await gateway.connect()
  return { name, api, gateway, recorder }
}

async function inTurn<T>(count: number, make: (index: number) => Promise<T>): Promise<T[]> {
  const made: T[] = []
  for (let index = 0; index < count; index += 1) made.push(await make(index))
  return made
}

async function sideBySide<T>(count: number, make: (index: number) => Promise<T>): Promise<T[]> {
  const made: T[] = []
  let next = 0
  const work = async () => {
    while (next < count) {
      const index = next++
      made[index] = await make(index)
    }
  }
  await Promise.all(Array.from({ length: AS_MANY_AT_ONCE }, work))
  return made
}
