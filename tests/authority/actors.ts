import { PASSWORD, type Person, type Scene } from '../matrix/scene.ts'

/** Who asks; in the order of the table's columns. */
export const actors = [
  'anonymous',
  'member',
  'timedOut',
  'moderator',
  'admin',
  'owner',
  'banned',
  'botWithoutScope',
] as const
export type Actor = (typeof actors)[number]

/** Whoever asks: nobody, or somebody with a token. */
export type Asking = { id?: string; token: string | undefined }

const MODERATION = [
  'member.kick',
  'member.ban',
  'member.timeout',
  'member.nickname',
  'message.manage',
  'channel.manage',
]

/**
 * People of each kind, as many as are asked for: what one does to their own account spoils no other's question. A member
 * has what is usual; moderators stand above members; an admin has the permission for everything and stands highest.
 */
export async function createActors(scene: Scene) {
  const { call, login, name, owner, roles, newcomers } = scene
  // Made anew for each call: the owner logs in again.
  const as = () => ({ token: owner.token })
  const permissions = [...MODERATION, 'channel.view', 'message.history', 'message.send']
  const moderators = await call('POST', '/v1/roles', { ...as(), body: { name: 'Moderators', permissions } })
  const { position } = await call<{ position: number }>('GET', `/v1/roles/${roles.members.id}`, as())
  await call('PATCH', `/v1/roles/${moderators.id}`, { ...as(), body: { position } })

  const join = async (roleId: string): Promise<Person> => {
    const person = await newcomers.newcomer()
    await call('PUT', `/v1/members/${person.id}/roles/${roleId}`, as())
    return scene.renew(person)
  }

  /** A bot that may do everything, with a token that is good for looking at channels. */
  const bot = async (): Promise<Asking> => {
    const { id } = await call('POST', '/v1/bots', { ...as(), body: { username: name('bot') } })
    await call('PUT', `/v1/members/${id}/roles/${roles.chief.id}`, as())
    const body = { name: 'narrow', scopes: ['channel.view'], botId: id, password: PASSWORD }
    const { token } = await call<{ token: string }>('POST', '/v1/auth/tokens', { ...as(), body })
    return { id, token }
  }

  const make: Record<Actor, () => Promise<Asking>> = {
    anonymous: async () => ({ token: undefined }),
    member: () => join(roles.members.id),
    async timedOut() {
      const person = await join(roles.members.id)
      await call('POST', `/v1/members/${person.id}/timeout`, { ...as(), body: { expiresInSeconds: 3600 } })
      return person
    },
    moderator: () => join(moderators.id),
    admin: () => join(roles.chief.id),
    owner: () => login(owner),
    async banned() {
      const person = await join(roles.members.id)
      await call('POST', '/v1/bans', { ...as(), body: { userId: person.id } })
      return person
    },
    botWithoutScope: bot,
  }
  const known = new Map<Actor, Promise<Asking>>()

  return {
    /** One who is asked about nothing but their permissions. */
    known(actor: Actor): Promise<Asking> {
      if (actor === 'owner') return Promise.resolve(owner)
      const made = known.get(actor) ?? make[actor]()
      known.set(actor, made)
      return made
    },
    /** One made for this question alone; but for whoever can't come to their account at all. */
    fresh(actor: Actor): Promise<Asking> {
      return actor === 'banned' || actor === 'botWithoutScope' ? this.known(actor) : make[actor]()
    },
    /** After the owner has done something to their account, which may have ended their sessions. */
    ownerAgain: async () => void Object.assign(owner, await login(owner)),
  }
}
export type Actors = Awaited<ReturnType<typeof createActors>>
