import type { OwnUser, User } from '@conntext/contracts'
import type { OwnUserRow, UserRow } from './queries.ts'

/** What makes a user name unique. */
export const usernameKey = (username: string): string => username.toLowerCase()

/** What makes an email address unique: few servers tell case apart, and people don't. */
export const emailKey = (email: string): string => email.toLowerCase()

export const toUser = (row: UserRow): User => ({
  id: row.id,
  username: row.username,
  displayName: row.displayName,
  createdAt: row.createdAt.toISOString(),
})

export const toOwnUser = (row: OwnUserRow): OwnUser => ({ ...toUser(row), email: row.email, isOwner: row.isOwner })
