import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually, SETUP_CODE, startDeployment } from '@conntext/testing'
import { type Account, type Caller, createCaller, PASSWORD, type Person, personOf } from './caller.ts'
import type { Json } from './document.ts'
import { createNewcomers, type Newcomers, PUBLIC_URL } from './newcomers.ts'
import { startProviders } from './provider.ts'

const EVERYTHING_USUAL = [
  'channel.view',
  'message.history',
  'message.send',
  'reaction.add',
  'media.attach',
  'voice.connect',
  'invite.create',
]
const MANAGEMENT = [
  'role.manage',
  'channel.manage',
  'bot.manage',
  'server.manage',
  'member.kick',
  'member.ban',
  'member.timeout',
  'member.nickname',
]

// Well before an access token ends, which lives for five minutes.
const RENEW_MS = 120_000

/**
 * A server with people and things of every kind. Its rate limits are off, so that it answers what is asked, however
 * often.
 */
export async function startScene() {
  const backups = await mkdtemp(join(tmpdir(), 'conntext-backups-'))
  const server = await startDeployment({
    CONNTEXT_PUBLIC_URL: PUBLIC_URL,
    CONNTEXT_RATE_ACCOUNT: '0',
    CONNTEXT_RATE_ADDRESS: '0',
    CONNTEXT_RATE_CREDENTIALS: '0',
    CONNTEXT_RATE_WEBHOOKS: '0',
    CONNTEXT_BACKUP_PASSPHRASE: 'the passphrase of a test',
    CONNTEXT_BACKUP_DIRECTORY: backups,
    // Wrong codes and passwords slow their address down: here, each request comes from another one.
    CONNTEXT_TRUSTED_PROXIES: '1',
  })
  const providers = startProviders()
  const caller = createCaller(server)
  const people = await gather(caller)
  const newcomers = await createNewcomers({ server, caller, providers, ...people })
  const things = await furnish(caller, people, newcomers)
  const { gone: _, ...present } = people
  const renewal = keepRenewed(
    caller,
    Object.values({ ...present, ...things.others }).filter((one) => typeof one === 'object' && 'refreshToken' in one),
  )
  return {
    server,
    ...caller,
    ...people,
    ...things,
    newcomers,
    ...renewal,
    async [Symbol.asyncDispose]() {
      renewal.stop()
      await providers[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
      await rm(backups, { recursive: true, force: true })
    },
  }
}
export type Scene = Awaited<ReturnType<typeof startScene>>

/** Exchanges people's tokens for new ones before they end, however long the test takes. */
function keepRenewed({ call }: Caller, people: Person[]) {
  const renewed = [...people]
  const timer = setInterval(async () => {
    for (const person of renewed) {
      const body = { refreshToken: person.refreshToken }
      const account = await call<Account>('POST', '/v1/auth/refresh', { body }).catch(() => undefined)
      if (account) Object.assign(person, personOf(account))
    }
  }, RENEW_MS)
  return {
    /** Keeps somebody else's token good as well; answers them. */
    renew<P extends Person>(person: P): P {
      renewed.push(person)
      return person
    },
    stop: () => clearInterval(timer),
  }
}

/** An owner; people with more and fewer permissions; one whose session has ended. */
async function gather({ call, register, login }: Caller) {
  const owner = await register('olga', { setupCode: SETUP_CODE })
  const as = { token: owner.token }
  const role = (name: string, permissions: string[]) =>
    call('POST', '/v1/roles', { ...as, body: { name, permissions } })
  const listed = await call<{ items: { id: string; isEveryone: boolean }[] }>('GET', '/v1/roles', as)
  const everyone = listed.items.find((one) => one.isEveryone)!
  await call('PATCH', `/v1/roles/${everyone.id}`, { ...as, body: { permissions: ['channel.view'] } })
  const chief = await role('Chiefs', ['administrator'])
  const managers = await role('Managers', [...EVERYTHING_USUAL, ...MANAGEMENT])
  const members = await role('Members', EVERYTHING_USUAL)
  const { code: inviteCode } = await call<{ code: string }>('POST', '/v1/invites', { ...as, body: {} })
  const join = async (username: string, roleIds: string[]) => {
    const person = await register(username, { inviteCode })
    await call('PATCH', `/v1/members/${person.id}`, { ...as, body: { roleIds } })
    return person
  }
  const gone = await join('gerd', [])
  await call('POST', '/v1/auth/logout', { token: gone.token })
  const left = await join('lena', [members.id])
  await call('DELETE', '/v1/members/@me', { token: left.token })
  return {
    owner,
    /** As high as one gets without owning the server. */
    head: await join('hella', [chief.id]),
    manager: await join('mona', [managers.id]),
    member: await join('maxim', [members.id]),
    /** Sees channels and no more. */
    stranger: await join('sven', []),
    /** For sessions that come and go. */
    spare: await login({ username: (await join('sara', [members.id])).username }),
    /** Whose session others try to end. */
    vera: await join('vera', []),
    /** Has an account and is no member. */
    left,
    gone,
    inviteCode,
    roles: { everyone, chief, managers, members },
  }
}
type People = Awaited<ReturnType<typeof gather>>

/** One of each thing, and of those that not everybody may see or touch one more. */
async function furnish(caller: Caller, people: People, newcomers: Newcomers) {
  const { beginUpload, call, upload } = caller
  const { owner, member, roles } = people
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
    media: {
      attached,
      kept: await upload(owner.token),
      members: await upload(member.token),
      /** Of the owner's, and never finished. */
      begun: await beginUpload(owner.token, 5),
    },
    conversations: await converse(caller, people),
    webhook: await call('POST', '/v1/webhooks', { ...as, body: { channelId: hidden.id, name: 'Secret' } }),
    invite: await call<{ id: string; code: string }>('POST', '/v1/invites', { ...as, body: {} }),
    auditEvent,
    ...(await populate(caller, people, newcomers)),
  }
}

/** Conversations that the owner takes part in, and a group that nobody but its two people should know of. */
async function converse({ call }: Caller, { owner, member, manager, vera }: People) {
  const open = ({ token }: Person, body: Json) => call('POST', '/v1/dms', { token, body })
  const others = await open(member, { userIds: [vera.id], name: 'A secret' })
  const body = { content: 'in private' }
  return {
    oneToOne: await open(owner, { userIds: [member.id] }),
    group: await open(owner, { userIds: [member.id, manager.id], name: 'Plans' }),
    others,
    message: await call('POST', `/v1/channels/${others.id}/messages`, { token: member.token, body }),
  }
}

/** Bots, and what other people have: it is theirs, whoever else asks for it. */
async function populate({ call, name }: Caller, { owner, roles }: People, newcomers: Newcomers) {
  // Read at each call: it is renewed.
  const as = () => ({ token: owner.token })
  /** A member of no consequence, which costs no hash. */
  const newBot = () => call('POST', '/v1/bots', { ...as(), body: { username: name('bot') } })
  const newToken = (body: Json) =>
    call<{ id: string; token: string }>('POST', '/v1/auth/tokens', { ...as(), body: { password: PASSWORD, ...body } })
  const high = await newBot()
  await call('PUT', `/v1/members/${high.id}/roles/${roles.chief.id}`, as())
  const banned = await newBot()
  await call('POST', '/v1/bans', { ...as(), body: { userId: banned.id } })
  const { person: keyholder, device, passkeyId } = await newcomers.withPasskey()
  const identities = await call<{ items: { id: string }[] }>('GET', '/v1/auth/identities', { token: keyholder.token })
  return {
    newBot,
    newToken,
    /** A bot as high as one gets, and one that is nobody. */
    bots: { high, low: await newBot(), banned },
    others: {
      keyholder,
      device,
      passkeyId,
      identityId: identities.items[0]!.id,
      /** Logs in often. */
      frequent: await newcomers.newcomer(),
    },
    /** An API token that may do whatever the owner may. */
    apiToken: await newToken({ name: 'everything', scopes: ['administrator'] }),
    /** The one that owns the server, and who is to own it next. */
    reign: { owner: owner as Person, heir: undefined as Person | undefined },
  }
}

export { PASSWORD, type Person } from './caller.ts'
