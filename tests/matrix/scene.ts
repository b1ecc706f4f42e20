import { eventually, SETUP_CODE, type ServerProcess, startServerProcess } from '@conntext/testing'
import type { Json } from './document.ts'
import { Raw, send } from './send.ts'

export const PASSWORD = 'a long enough password'
const EVERYTHING_USUAL = [
  'channel.view',
  'message.history',
  'message.send',
  'reaction.add',
  'media.attach',
  'voice.connect',
  'invite.create',
]

export type Person = { id: string; username: string; token: string; sessionId: string; refreshToken: string }

/**
 * A server with people and things of every kind. Its rate limits are off, so that it answers what is asked, however
 * often.
 */
export async function startScene() {
  const server = await startServerProcess({
    CONNTEXT_RATE_ACCOUNT: '0',
    CONNTEXT_RATE_ADDRESS: '0',
    CONNTEXT_RATE_CREDENTIALS: '0',
    // Wrong codes and passwords slow their address down: here, each request comes from another one.
    CONNTEXT_TRUSTED_PROXIES: '1',
  })
  const caller = createCaller(server)
  const people = await gather(caller)
  const things = await furnish(caller, people)
  return { server, ...caller, ...people, ...things, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}
export type Scene = Awaited<ReturnType<typeof startScene>>

type Account = {
  user: { id: string; username: string }
  session: { id: string }
  accessToken: string
  refreshToken: string
}

const personOf = ({ user, session, accessToken, refreshToken }: Account): Person => ({
  id: user.id,
  username: user.username,
  token: accessToken,
  sessionId: session.id,
  refreshToken,
})

function createCaller(server: ServerProcess) {
  let made = 0
  /** A good call. Fails when it is refused. */
  const call = async <T = Json & { id: string }>(
    method: string,
    path: string,
    { token, body, headers = {} }: { token?: string; body?: unknown; headers?: Record<string, string> } = {},
  ): Promise<T> => {
    const answer = await send(server.url, method, path, { path: {}, query: {}, token, headers, body })
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`)
    return (answer.text === '' ? undefined : JSON.parse(answer.text)) as T
  }
  return {
    call,
    /** A name that nothing has yet. */
    name: (what: string) => `${what}-${++made}`,
    login: async ({ username }: { username: string }) =>
      personOf(await call<Account>('POST', '/v1/auth/login', { body: { login: username, password: PASSWORD } })),
    register: async (username: string, code: Json) =>
      personOf(await call<Account>('POST', '/v1/auth/register', { body: { username, password: PASSWORD, ...code } })),
    upload: (token: string) =>
      call('POST', '/v1/uploads?filename=a.txt', {
        token,
        body: new Raw('the bytes of a file'),
        headers: { 'content-type': 'text/plain' },
      }),
  }
}
type Caller = ReturnType<typeof createCaller>

/** An owner; people with more and fewer permissions; one whose session has ended. */
async function gather({ call, register, login }: Caller) {
  const owner = await register('olga', { setupCode: SETUP_CODE })
  const as = { token: owner.token }
  const role = (name: string, permissions: string[]) =>
    call('POST', '/v1/roles', { ...as, body: { name, permissions } })
  const roles = await call<{ items: { id: string; isEveryone: boolean }[] }>('GET', '/v1/roles', as)
  const everyone = roles.items.find((one) => one.isEveryone)!
  await call('PATCH', `/v1/roles/${everyone.id}`, { ...as, body: { permissions: ['channel.view'] } })
  const chief = await role('Chiefs', ['administrator'])
  const managers = await role('Managers', [...EVERYTHING_USUAL, 'role.manage', 'channel.manage'])
  const members = await role('Members', EVERYTHING_USUAL)
  const invite = await call<{ code: string }>('POST', '/v1/invites', { ...as, body: {} })
  const inviteCode = invite.code
  const join = async (username: string, roleIds: string[]) => {
    const person = await register(username, { inviteCode })
    await call('PATCH', `/v1/members/${person.id}`, { ...as, body: { roleIds } })
    return person
  }
  const gone = await join('gerd', [])
  await call('POST', '/v1/auth/logout', { token: gone.token })
  return {
    owner,
    manager: await join('mona', [managers.id]),
    member: await join('maxim', [members.id]),
    /** Sees channels and no more. */
    stranger: await join('sven', []),
    /** For sessions that come and go. */
    spare: await login({ username: (await join('sara', [members.id])).username }),
    /** Whose session others try to end. */
    vera: await join('vera', []),
    gone,
    inviteCode,
    roles: { everyone, chief, managers, members },
  }
}

/** One of each thing, and of those that not everybody may see or touch one more. */
async function furnish({ call, upload }: Caller, { owner, roles }: Awaited<ReturnType<typeof gather>>) {
  const as = { token: owner.token }
  const channel = (name: string, type: string) => call('POST', '/v1/channels', { ...as, body: { name, type } })
  const general = await channel('matrix', 'text')
  const hidden = await channel('hidden', 'text')
  const voice = await channel('voice', 'voice')
  const deny = { allow: [], deny: ['channel.view'] }
  await call('PUT', `/v1/channels/${hidden.id}/overrides/${roles.everyone.id}`, { ...as, body: deny })
  const say = (channelId: string, body: Json) => call('POST', `/v1/channels/${channelId}/messages`, { ...as, body })
  const attached = await upload(owner.token)
  const auditEvent = await eventually(async () => {
    const page = await call<{ items: { id: string }[] }>('GET', '/v1/audit/events?action=channel.created', as)
    return page.items[0]
  })
  return {
    channels: { general, hidden, voice },
    messages: {
      general: await say(general.id, { content: 'hello', mediaIds: [attached.id] }),
      hidden: await say(hidden.id, { content: 'a secret' }),
    },
    media: { attached, kept: await upload(owner.token) },
    invite: await call('POST', '/v1/invites', { ...as, body: {} }),
    auditEvent,
  }
}
