import type { OwnUser, User } from '@conntext/contracts'
import type { Caller } from '@conntext/http'
import { systemClock } from '@conntext/kernel'
import type { OwnUserRow, UserRow } from './queries.ts'

export { emailKey } from './emails.ts'

/** What is shown for an account that is gone. */
export const DELETED_USERNAME = 'deleted-user'

/** What makes a user name unique. */
export const usernameKey = (username: string): string => username.toLowerCase()

/**
 * The same for user names that look alike in common fonts, in the manner of UTS #39's skeletons, for the characters that
 * a user name may have. The migrations know it in SQL.
 */
export const usernameSkeleton = (username: string): string =>
  username.replaceAll('0', 'o').replace(/[1I]/g, 'l').toLowerCase().replaceAll('rn', 'm').replaceAll('vv', 'w')

/** Names that would speak for the server, or for everybody, or pass for nobody. */
const RESERVED = [
  // Mentions of all.
  'everyone',
  'here',
  // The server itself, in the audit and in notices.
  'conntext',
  'server',
  'system',
  // What is shown for those who are gone.
  DELETED_USERNAME,
  'deleted',
  // Oneself, in paths.
  'me',
]
const reserved = new Set(RESERVED.map(usernameSkeleton))

/** Whether nobody may have the name, nor one that looks like it. */
export const isReservedUsername = (username: string): boolean => reserved.has(usernameSkeleton(username))

/** The account as others see it; `now` decides whether a status has run out. */
export const toUser = (row: UserRow, now = systemClock.now()): User => ({
  id: row.id,
  kind: row.kind,
  username: row.username,
  displayName: row.displayName,
  avatarId: row.avatarId,
  status: toStatus(row, now),
  isDeleted: row.standing === 'deleted',
  createdAt: row.createdAt.toISOString(),
})

function toStatus({ statusText, statusEmoji, statusExpiresAt }: UserRow, now: Date): User['status'] {
  if (statusText === null && statusEmoji === null) return null
  if (statusExpiresAt !== null && statusExpiresAt <= now) return null
  return { text: statusText, emoji: statusEmoji, expiresAt: statusExpiresAt?.toISOString() ?? null }
}

export const toOwnUser = (row: OwnUserRow, now = systemClock.now()): OwnUser => ({
  ...toUser(row, now),
  email: row.email,
  emailVerified: row.emailVerifiedAt !== null,
  isOwner: row.isOwner,
  isMember: row.standing === 'active',
  hasPassword: row.hasPassword,
  mfaEnabled: row.mfaEnabled,
})

/** The account to whoever came as its bearer: an API token gets to know of it no more than everybody does. */
export const shownTo = ({ scopes }: Pick<Caller, 'scopes'>, user: OwnUser): OwnUser =>
  scopes === null ? user : { ...user, email: null, emailVerified: false }
