import type { MessagingPort } from '@conntext/contracts'
import { SETTINGS_ID, type ServerDetails, serverSettings } from '@conntext/db-server-details'
import { dependencyErrors } from '@conntext/http'
import { AppError, answerWithin, newId } from '@conntext/kernel'
import type { OutboxEntry } from '@conntext/outbox'
import { eq } from 'drizzle-orm'

type Deps = { db: ServerDetails; messaging: Pick<MessagingPort, 'publishImage' | 'withdrawImage'> }

// As the messaging service knows where a picture is shown.
const HOLDER = 'server'
// For so long other changes of the server wait for this one.
const PUBLISH_WITHIN_MS = 5_000

export const ICON_WITHDRAWAL = 'iconWithdrawal'
export type IconWithdrawal = { mediaId: string }

export const iconWithdrawal = (mediaId: string): OutboxEntry => ({
  id: newId(),
  topic: ICON_WITHDRAWAL,
  payload: { mediaId } satisfies IconWithdrawal,
})

/**
 * Lets everybody see the picture; within the change that makes it the icon, so that no withdrawal comes in between.
 * @throws media.notFound (404), media.notAnImage, media.imageTooLarge (422), dependency.away (503)
 */
export async function publishIcon({ messaging }: Deps, icon: { mediaId: string; userId: string }): Promise<void> {
  try {
    await answerWithin(PUBLISH_WITHIN_MS, () => messaging.publishImage({ ...icon, holder: HOLDER }))
  } catch (cause) {
    if (cause instanceof AppError) throw cause
    throw dependencyErrors.away({ detail: "The messaging service doesn't answer.", retryAfter: 1, cause })
  }
}

/** Takes a former icon back, unless it has become the icon again meanwhile: changes of settings wait for the answer. */
export async function withdrawIcon({ db, messaging }: Deps, { mediaId }: IconWithdrawal): Promise<void> {
  await db.transaction(async (tx) => {
    const [settings] = await tx
      .select({ iconId: serverSettings.iconId })
      .from(serverSettings)
      .where(eq(serverSettings.id, SETTINGS_ID))
      .for('update')
    if (settings?.iconId === mediaId) return
    await answerWithin(PUBLISH_WITHIN_MS, () => messaging.withdrawImage({ mediaId, holder: HOLDER }))
  })
}
