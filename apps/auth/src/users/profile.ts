import type { UserPatch } from '@conntext/contracts'
import { cleanEmoji, cleanName } from '@conntext/http'
import type { OwnUserRow } from './queries.ts'

/** The most characters of a status, in Unicode code points. */
const MOST_STATUS = 128

const FIELDS = ['displayName', 'email', 'avatarId', 'statusText', 'statusEmoji', 'statusExpiresAt'] as const
type Field = (typeof FIELDS)[number]

/** What somebody can change of their account, as it is kept. */
export type Profile = Pick<OwnUserRow, Field>
export type ProfileChange = Partial<Profile>

export const profileOf = (row: OwnUserRow): Profile => ({
  displayName: row.displayName,
  email: row.email,
  avatarId: row.avatarId,
  statusText: row.statusText,
  statusEmoji: row.statusEmoji,
  statusExpiresAt: row.statusExpiresAt,
})

/**
 * What a patch asks for, as it is kept. A name of nothing but space is none; a status replaces the one before as a whole.
 * @throws request.invalid (422) for words that can't be shown
 */
export const profileChange = ({ displayName, email, avatarId, status }: UserPatch, now: Date): ProfileChange => ({
  ...(displayName === undefined
    ? {}
    : { displayName: displayName && cleanName(displayName, { path: '/body/displayName' }) }),
  ...(email === undefined ? {} : { email }),
  ...(avatarId === undefined ? {} : { avatarId }),
  ...(status === undefined ? {} : statusChange(status, now)),
})

function statusChange(status: UserPatch['status'], now: Date) {
  const { text, emoji, expiresInSeconds } = status ?? {}
  const statusText = text ? cleanName(text, { path: '/body/status/text', most: MOST_STATUS }) : null
  const statusEmoji = emoji ? cleanEmoji(emoji, '/body/status/emoji') : null
  const lasts = expiresInSeconds && (statusText !== null || statusEmoji !== null)
  return {
    statusText,
    statusEmoji,
    statusExpiresAt: lasts ? new Date(now.getTime() + expiresInSeconds * 1000) : null,
  }
}
