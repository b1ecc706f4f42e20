import type { WebhookRow } from './queries.ts'

/** A message of a webhook's on its way: how it signs, and what it came with. */
export type Signed = Pick<WebhookRow, 'name' | 'avatarId' | 'secretHash'>

/** Whether a webhook may still write there with what its message came with. Holds under the channel's stream lock. */
export const isStillThere = (row: WebhookRow | undefined, channelId: string, { secretHash }: Signed): boolean =>
  row?.channelId === channelId && Buffer.compare(row.secretHash, secretHash) === 0
