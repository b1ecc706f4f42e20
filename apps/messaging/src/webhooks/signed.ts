import type { Mentions } from '@conntext/contracts'
import { NOBODY } from '../mentions/resolve.ts'
import type { WebhookRow } from './queries.ts'

/** A message of a webhook's on its way: how it signs, and what it came with. */
export type Signed = Pick<WebhookRow, 'name' | 'avatarId' | 'secretHash'>

/** Whether a webhook may still write there with what its message came with. Holds under the channel's stream lock. */
export const isStillThere = (row: WebhookRow | undefined, channelId: string, { secretHash }: Signed): boolean =>
  row?.channelId === channelId && Buffer.compare(row.secretHash, secretHash) === 0

/** Of those whom its message calls, whom it may still call. Holds under the channel's stream lock. */
export function mayStillCall({ mentionEveryone }: WebhookRow, mentions: Mentions): Mentions {
  if (mentionEveryone) return mentions
  const { userIds } = mentions
  return userIds.length === 0 ? NOBODY : { userIds, roleIds: [], everyone: false }
}
