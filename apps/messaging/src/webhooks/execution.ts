import type { Message, NewWebhookMessage } from '@conntext/contracts'
import type { Visitor } from '@conntext/http'
import { resolveMentions } from '../mentions/resolve.ts'
import { checkContent, checkStorable } from '../messages/content.ts'
import type { Sender } from '../messages/send.ts'
import { webhookErrors } from './errors.ts'
import { findWebhook, takeAllowance } from './queries.ts'
import { isSecret } from './secret.ts'
import { checkedName, type WebhookDeps } from './service.ts'

export type ExecutionDeps = Pick<WebhookDeps, 'db' | 'guard' | 'clock' | 'webhookRate'> & {
  sender: Pick<Sender, 'submit'>
  /** Records that nothing was taken; `id` where there is such a webhook. Never fails and never waits. */
  refusedAtWebhook: (visitor: Visitor, id: string | null) => void
}

/**
 * Writes into a webhook's channel for whoever has its secret. A repeat of its nonce there stores nothing and answers what
 * the first did.
 * @throws webhook.notFound (404), also for a wrong secret; webhook.tooFast (429); the errors of a message's words
 */
export async function executeWebhook(
  deps: ExecutionDeps,
  visitor: Visitor,
  { webhookId, secret }: { webhookId: string; secret: string },
  { content, username, nonce }: NewWebhookMessage,
): Promise<Message> {
  const { db, guard, clock, webhookRate, sender } = deps
  const row = await findWebhook(db, webhookId)
  if (!isSecret(secret, row?.secretHash) || !row) {
    deps.refusedAtWebhook(visitor, row?.id ?? null)
    throw webhookErrors.notFound()
  }
  const authority = await guard.authority()
  const wait = await takeAllowance(db, row.id, webhookRate, clock.now())
  if (wait > 0) throw webhookErrors.tooFast({ retryAfter: wait })
  checkContent(content, authority.snapshot.server.limits, false)
  if (nonce !== undefined) checkStorable(nonce, '/body/nonce')
  const name = username === undefined ? row.name : checkedName(username, '/body/username')
  const mentions = await resolveMentions(guard, content, async () => row.mentionEveryone)
  const { id: authorId, channelId } = row
  const message = { channelId, authorId, content, nonce: nonce ?? null, mentions }
  const { avatarId, secretHash } = row
  const webhook = { name, avatarId, secretHash }
  return sender.submit({ ...message, webhook, replyTo: null, mediaIds: [], slowModeSeconds: 0 })
}
