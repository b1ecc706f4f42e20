import type { OwnUser, User } from '@conntext/contracts'
import type { OwnUserRow, UserRow } from './queries.ts'

/** What makes a user name unique. */
export const usernameKey = (username: string): string => username.toLowerCase()

/**
 * The same for user names that look alike in common fonts, in the manner of UTS #39's skeletons, for the characters that
 * a user name may have. The migrations know it in SQL.
 */
export const usernameSkeleton = (username: string): string =>
  username.replaceAll('0', 'o').replace(/[1I]/g, 'l').toLowerCase().replaceAll('rn', 'm').replaceAll('vv', 'w')

/** What makes an email address unique: few servers tell case apart, and people don't. */
export const emailKey = (email: string): string => email.toLowerCase()

export const toUser = (row: UserRow): User => ({
  id: row.id,
  kind: row.kind,
  username: row.username,
  displayName: row.displayName,
  avatarId: row.avatarId,
  status: toStatus(row),
  isDeleted: row.standing === 'deleted',
  createdAt: row.createdAt.toISOString(),
})

const toStatus = ({ statusText, statusEmoji, statusExpiresAt }: UserRow): User['status'] =>
  statusText === null && statusEmoji === null
    ? null
    : { text: statusText, emoji: statusEmoji, expiresAt: statusExpiresAt?.toISOString() ?? null }

export const toOwnUser = (row: OwnUserRow): OwnUser => ({
  ...toUser(row),
  email: row.email,
  emailVerified: row.emailVerifiedAt !== null,
  isOwner: row.isOwner,
  isMember: row.standing === 'active',
  hasPassword: row.hasPassword,
  mfaEnabled: row.mfaEnabled,
})
