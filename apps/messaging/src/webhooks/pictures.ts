import { webhooks } from '@conntext/db-communications'
import { eq } from 'drizzle-orm'
import { publishImage, withdrawImage } from '../media/pictures.ts'
import type { Transaction } from '../streams/writer.ts'
import type { WebhookRow } from './queries.ts'

type Pictured = Pick<WebhookRow, 'id' | 'avatarId'>

const holder = (id: string): string => `webhook:${id}`

/** Lets every member see the webhook's picture. @throws media.notFound (404), .notAnImage, .imageTooLarge (422) */
export async function showPicture(tx: Transaction, { id, avatarId }: Pictured, userId: string): Promise<void> {
  if (avatarId !== null) await publishImage(tx, { mediaId: avatarId, userId, holder: holder(id) })
}

/** The picture is shown there no more. */
export async function hidePicture(tx: Transaction, { id, avatarId }: Pictured): Promise<void> {
  if (avatarId !== null) await withdrawImage(tx, { mediaId: avatarId, holder: holder(id) })
}

/** A channel that goes takes its webhooks along. */
export async function removeWebhooksOf(tx: Transaction, channelId: string): Promise<void> {
  const { id, avatarId } = webhooks
  const gone = await tx.delete(webhooks).where(eq(webhooks.channelId, channelId)).returning({ id, avatarId })
  for (const one of gone) await hidePicture(tx, one)
}
