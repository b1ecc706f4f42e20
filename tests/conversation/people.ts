import {
  Api,
  createChannel,
  createInvite,
  createRole,
  GatewayClient,
  register,
  type StreamEvent,
  unwrap,
  updateMember,
} from '@conntext/sdk'

const PASSWORD = 'a long enough password'

/** Somebody at their client: access to the API, a living connection, and all that came over it. */
export type Person = {
  name: string
  id: string
  api: Api
  gateway: GatewayClient
  events: StreamEvent[]
}

/** Makes an account and connects; `code` is what lets the person in where not everybody may come. */
export async function join(
  baseUrl: string,
  name: string,
  code: { setupCode?: string; inviteCode?: string } = {},
): Promise<Person> {
  const api = new Api({ baseUrl })
  const account = await unwrap(register({ client: api.client, body: { username: name, password: PASSWORD, ...code } }))
  api.use(account)
  const person = { name, id: account.user.id, api, events: [] as StreamEvent[] }
  return { ...person, gateway: await connect(api, person.events) }
}

async function connect(api: Api, events: StreamEvent[]): Promise<GatewayClient> {
  const gateway = new GatewayClient({
    baseUrl: api.baseUrl,
    token: () => api.accessToken(),
    reconnect: { firstMs: 50, longestMs: 1_000 },
  })
  gateway.on('event', (event) => void events.push(event))
  await gateway.connect()
  return gateway
}

/** A new server's owner, a channel, and a member who was invited and got a role. */
export async function gather(baseUrl: string, setupCode: string) {
  const owner = await join(baseUrl, 'olga', { setupCode })
  const { client } = owner.api
  const channel = await unwrap(createChannel({ client, body: { name: 'conversation', type: 'text' } }))
  const invite = await unwrap(createInvite({ client, body: { maxUses: 1, expiresInSeconds: 3_600 } }))
  const member = await join(baseUrl, 'maxim', { inviteCode: invite.code })
  const role = await unwrap(createRole({ client, body: { name: 'Speakers', permissions: ['message.pin'] } }))
  const body = { roleIds: [role.id] }
  const headers = { 'X-Audit-Reason': 'a test' }
  await unwrap(updateMember({ client, path: { id: member.id }, body, headers }))
  return { owner, member, channel, invite, role }
}
