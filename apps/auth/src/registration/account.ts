import { type AuditActor, auditFor, SERVER_STREAM } from '@conntext/contracts'
import { type Changes, streamEvent } from '../changes.ts'
import type { Transaction } from '../transaction.ts'
import { emailKey, toUser, usernameKey, usernameSkeleton } from '../users/users.ts'
import { registrationErrors } from './errors.ts'
import { claimServer, giveRoleIfThere, insertAccount } from './queries.ts'

const audit = auditFor('auth')

/** On what grounds somebody may make an account. */
export type Way = 'setupCode' | 'invite' | 'open'

/** What lets somebody in: how, the id that their account will have, and the role that an invite brings. */
export type Admitted = { way: Way; userId: string; roleId: string | null }

/** An account to be; without a password it is come into by other means. */
export type NewAccount = Admitted & {
  username: string
  email: string | null
  emailVerifiedAt: Date | null
  passwordHash: string | null
}

/**
 * Makes the account and answers its roles, which are told of by `recordAccount` once its first session is known.
 * @throws registration.setupCodeWrong (403) when the server got its owner meanwhile
 */
export async function makeAccount(tx: Transaction, account: NewAccount) {
  const { userId, username, email, emailVerifiedAt, passwordHash, roleId, way } = account
  const row = await insertAccount(tx, {
    id: userId,
    username,
    usernameKey: usernameKey(username),
    usernameSkeleton: usernameSkeleton(username),
    email,
    emailKey: email === null ? null : emailKey(email),
    emailVerifiedAt,
    passwordHash,
  })
  if (way === 'setupCode' && !(await claimServer(tx, userId))) throw registrationErrors.setupCodeWrong()
  const given = roleId !== null && (await giveRoleIfThere(tx, userId, roleId))
  return { user: toUser(row), roleIds: given ? [roleId] : [] }
}

type Made = Awaited<ReturnType<typeof makeAccount>> & { way: Way; actor: AuditActor }

/** Writes what a new account owes to others. */
export async function recordAccount(tx: Transaction, changes: Changes, { user, roleIds, way, actor }: Made) {
  await changes.owe(tx, {
    audit: [
      audit('user.registered', actor, user.id, { username: user.username, via: way }),
      ...(roleIds.length > 0 ? [audit('member.rolesChanged', actor, user.id, { added: roleIds, removed: [] })] : []),
      ...(way === 'setupCode' ? [audit('server.claimed', actor, user.id, {})] : []),
    ],
    joins: [{ userId: user.id }],
    events: [streamEvent(SERVER_STREAM, 'member.joined', { user, roleIds, joinedAt: user.createdAt })],
  })
}
