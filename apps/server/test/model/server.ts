import { SETUP_CODE, type ServerProcess, startServerProcess } from '@conntext/testing'
import type { Person } from './client.ts'
import { CUT, type Place } from './stack.ts'
import type { ChannelName } from './world.ts'

const PASSWORD = 'correct horse battery staple'
const MEMBERS = 4
const WITHOUT_LIMITS = {
  CONNTEXT_RATE_MESSAGES: '0',
  CONNTEXT_RATE_FRAMES: '0',
  CONNTEXT_RATE_ACCOUNT: '0',
  CONNTEXT_RATE_ADDRESS: '0',
  CONNTEXT_RATE_CREDENTIALS: '0',
}

/** The whole server as a process, which is killed as such. */
export async function startOne() {
  const server = await startServerProcess(WITHOUT_LIMITS)
  let back = Promise.withResolvers<void>()
  back.resolve()
  let alive = true
  const place: Place = {
    size: 1,
    isAlive: () => alive,
    reach: () => back.promise.then(() => 0),
    address: () => new URL(server.url).host,
    async call(_, token, method, path, body) {
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
      const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }
      try {
        const response = await fetch(`${server.url}${path}`, init)
        const text = await response.text()
        return { status: response.status, body: text === '' ? undefined : JSON.parse(text) }
      } catch {
        return CUT
      }
    },
  }
  return {
    place,
    server,
    async killAndRestart() {
      back = Promise.withResolvers()
      alive = false
      await server.kill('SIGKILL')
      await server.restart()
      alive = true
      back.resolve()
    },
  }
}

/** An owner, members, and what they talk in. */
export async function populateServer(server: ServerProcess, place: Place) {
  const ask = async (token: string, method: string, path: string, body?: unknown) => {
    const answer = await place.call(0, token, method, path, body)
    if (answer === CUT || answer.status >= 300) throw new Error(`${path}: ${JSON.stringify(answer)} ${server.output()}`)
    return answer.body
  }
  const register = async (username: string, fields: object): Promise<Person> => {
    const { user, session, accessToken } = await ask('', 'POST', '/v1/auth/register', {
      ...{ username, password: PASSWORD },
      ...fields,
    })
    return { userId: user.id, sessionId: session.id, token: accessToken }
  }
  const people = [await register('olga', { setupCode: SETUP_CODE })]
  const owner = (method: string, path: string, body?: unknown) => ask(people[0]!.token, method, path, body)
  const { code: inviteCode } = await owner('POST', '/v1/invites', { maxUses: MEMBERS, expiresInSeconds: 3_600 })
  for (let index = 1; index <= MEMBERS; index += 1) people.push(await register(`member-${index}`, { inviteCode }))
  const channel = async (name: string): Promise<string> =>
    (await owner('POST', '/v1/channels', { name, type: 'text' })).id
  const begin = async (others: Person[], fields: object): Promise<string> =>
    (await owner('POST', '/v1/dms', { userIds: others.map((one) => one.userId), ...fields })).id
  const channels: Record<ChannelName, string> = {
    open: await channel('open'),
    private: await channel('private'),
    group: await begin(people.slice(1), { name: 'Group' }),
    pair: await begin([people[1]!], {}),
  }
  /** Nobody takes the channel from its owner. */
  const give = async (index: number, isIn: boolean): Promise<void> => {
    const override = isIn ? { allow: ['channel.view'], deny: [] } : { allow: [], deny: ['channel.view'] }
    const path = `/v1/channels/${channels.private}/overrides/${people[index]!.userId}`
    await place.reach(0)
    if (index > 0) await place.call(0, people[0]!.token, 'PUT', path, override)
  }
  return { people, channels, give }
}
