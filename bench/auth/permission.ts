import { createMemoryBus } from '@conntext/bus'
import {
  Authority,
  type AuthoritySnapshot,
  type Channel,
  everyoneDefaults,
  type Grant,
  type Override,
  type Permission,
  permissions,
} from '@conntext/contracts'
import { Guard, type GuardOptions } from '@conntext/http'
import { newId, silentLogger } from '@conntext/kernel'
import { type Bench, median, rate } from '../lib/result.ts'

const [ROLES, CHANNELS, MEMBERS, OVERRIDES_EACH, ROLES_EACH] = [250, 500, 10_000, 4, 5]
const NOW = '2026-01-01T00:00:00.000Z'
const PERMISSION: Permission = 'message.send'

type World = { snapshot: AuthoritySnapshot; grants: Grant[] }
type Question = { grant: Grant; channelId: string }

/**
 * Permissions in channels decided per second by the guard that every service has, on a server with 250 roles, 500
 * channels with overrides, and 10,000 members; against the bare pure function with the snapshot and the grant at hand.
 */
export const permission: Bench = async ({ quick }, report) => {
  const world = makeWorld()
  const guard = await startGuard(world)
  const authority = new Authority(world.snapshot)
  const questions = Array.from({ length: quick ? 100_000 : 400_000 }, () => ask(world))
  const ours = async () => {
    let allowed = 0
    for (const { grant, channelId } of questions) {
      if (await guard.allows({ userId: grant.userId }, PERMISSION, channelId)) allowed += 1
    }
    return allowed
  }
  const bare = async () => {
    let allowed = 0
    const now = Date.now()
    for (const { grant, channelId } of questions) if (authority.allows(grant, PERMISSION, channelId, now)) allowed += 1
    return allowed
  }
  // Both have seen every member once.
  const agreed = await ours()
  if (agreed !== (await bare())) throw new Error('the guard and the pure function disagree')
  const rounds = { ours: [] as number[], bare: [] as number[] }
  for (let round = 0; round < (quick ? 3 : 5); round += 1) {
    rounds.ours.push(await perSecond(questions.length, ours))
    rounds.bare.push(await perSecond(questions.length, bare))
  }
  await guard.stop()
  report(
    rate('permission', 'decisions/s', median(rounds.ours), median(rounds.bare), {
      baselineOf: 'the pure function alone on the same data',
      roles: ROLES,
      channels: CHANNELS,
      members: MEMBERS,
      allowed: Number((agreed / questions.length).toPrecision(2)),
    }),
  )
}

async function perSecond(count: number, work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return count / ((performance.now() - began) / 1000)
}

const pick = <T>(from: readonly T[]): T => from[Math.floor(Math.random() * from.length)]!
const several = <T>(from: readonly T[], count: number): T[] => [
  ...new Set(Array.from({ length: count }, () => pick(from))),
]

const ask = ({ snapshot, grants }: World): Question => ({ grant: pick(grants), channelId: pick(snapshot.channels).id })

function makeWorld(): World {
  const names = Object.keys(permissions) as Permission[]
  const ordinary = names.filter((name) => name !== 'administrator')
  const roles = Array.from({ length: ROLES }, (_, position) => ({
    id: newId(),
    name: position === 0 ? 'everyone' : `role ${position}`,
    colour: null,
    position,
    permissions: position === 0 ? [...everyoneDefaults] : several(ordinary, 6),
    requireMfa: false,
    isEveryone: position === 0,
    createdAt: NOW,
  }))
  const channels = Array.from({ length: CHANNELS }, (_, position) => makeChannel(position))
  const overrides = channels.flatMap(({ id }): Override[] =>
    several(roles, OVERRIDES_EACH).map((role) => ({
      channelId: id,
      targetKind: 'role',
      targetId: role.id,
      allow: several(ordinary, 2),
      deny: [pick(['channel.view', 'message.send'])],
    })),
  )
  const grants = Array.from({ length: MEMBERS }, (): Grant => {
    const roleIds = several(roles.slice(1), ROLES_EACH).map(({ id }) => id)
    return { userId: newId(), kind: 'user', standing: 'active', timedOutUntil: null, mfa: false, roleIds }
  })
  return { snapshot: { version: 1, ownerId: newId(), server, roles, channels, overrides }, grants }
}

const makeChannel = (position: number): Channel => ({
  id: newId(),
  name: `channel ${position}`,
  type: 'text',
  parentId: null,
  topic: null,
  slowModeSeconds: 0,
  messageRetentionDays: null,
  userLimit: null,
  audioBitrate: null,
  videoLimit: null,
  position,
  createdAt: NOW,
})

const server: AuthoritySnapshot['server'] = {
  name: 'Bench',
  description: null,
  iconId: null,
  registrationMode: 'open',
  requireMfa: false,
  requireModerationReason: false,
  systemChannelId: null,
  messageRetentionDays: null,
  callRetentionDays: null,
  limits: { maxMessageLength: 4_000, maxFileBytes: 1_000_000, maxMediaPerMessage: 10 },
  maintenance: null,
  createdAt: NOW,
}

async function startGuard({ snapshot, grants }: World): Promise<Guard> {
  const byId = new Map(grants.map((grant) => [grant.userId, grant]))
  const auth: GuardOptions['auth'] = {
    keys: () => Promise.reject(new Error('not asked for here')),
    grant: async ({ userId }) => byId.get(userId) ?? null,
    authority: async () => snapshot,
    revokedSessions: async () => ({ sessions: [] }),
    identifyToken: async () => null,
  }
  const guard = new Guard({ auth, bus: createMemoryBus(silentLogger), log: silentLogger })
  await guard.start()
  return guard
}
