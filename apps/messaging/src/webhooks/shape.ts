import type { Webhook, WebhookWithSecret } from '@conntext/contracts'
import type { WebhookRow } from './queries.ts'

export const toWebhook = (row: WebhookRow): Webhook => ({
  id: row.id,
  channelId: row.channelId,
  name: row.name,
  avatarId: row.avatarId,
  mentionEveryone: row.mentionEveryone,
  createdBy: row.createdBy,
  createdAt: row.createdAt.toISOString(),
})

export const withSecret = (row: WebhookRow, secret: string): WebhookWithSecret => ({
  ...toWebhook(row),
  secret,
  path: `/v1/webhooks/${row.id}/${secret}`,
})
