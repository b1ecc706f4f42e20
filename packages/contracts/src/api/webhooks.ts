import { type Static, Type } from '@sinclair/typebox'
import { Cursor, Fields, Id, Limit, Nullable, Page, Shape, Timestamp } from './common.ts'
import { NewMessage } from './messaging.ts'

/** How many webhooks a channel can have. */
export const MAX_WEBHOOKS = 15

const NAME = { minLength: 1, maxLength: 80, pattern: '\\S' }
const Name = Type.String(NAME)
const Picture = Type.Union([Id, Type.Null()], {
  description: 'A picture of the caller’s, which every member then sees',
})
const MentionEveryone = Type.Boolean({
  description: 'Whether it may call everyone and roles; takes message.mentionEveryone in the channel',
})

/** An address at which programs write into a text channel. */
export const Webhook = Shape('Webhook', {
  id: Id,
  channelId: Id,
  name: Type.String(),
  avatarId: Nullable(Id),
  mentionEveryone: Type.Boolean(),
  createdBy: Id,
  createdAt: Timestamp,
})
export type Webhook = Static<typeof Webhook>
export const WebhookPage = Page('WebhookPage', Webhook)

/** The answer that tells the secret. */
export const WebhookWithSecret = Shape('WebhookWithSecret', {
  ...Webhook.properties,
  secret: Type.String({ description: 'Shown this once: whoever has it can write into the channel' }),
  path: Type.String({ description: 'Where to POST messages to, on this server; the secret is in it' }),
})
export type WebhookWithSecret = Static<typeof WebhookWithSecret>

export const NewWebhook = Shape('NewWebhook', {
  channelId: Id,
  name: Name,
  avatarId: Type.Optional(Picture),
  mentionEveryone: Type.Optional(MentionEveryone),
})
export type NewWebhook = Static<typeof NewWebhook>

export const WebhookPatch = Shape('WebhookPatch', {
  channelId: Type.Optional(Id),
  name: Type.Optional(Name),
  avatarId: Type.Optional(Picture),
  mentionEveryone: Type.Optional(MentionEveryone),
})
export type WebhookPatch = Static<typeof WebhookPatch>

export const WebhookQuery = Fields({ channelId: Id, limit: Limit, cursor: Cursor })
export const WebhookParams = Fields({ webhookId: Id })
/** What is wrong with the secret is for the service to say: the same as of a webhook that isn't there. */
export const WebhookAddress = Fields({ webhookId: Id, secret: Type.String({ minLength: 1 }) })

export const NewWebhookMessage = Shape('NewWebhookMessage', {
  content: NewMessage.properties.content,
  username: Type.Optional(Type.String({ ...NAME, description: 'Instead of the webhook’s name' })),
  nonce: NewMessage.properties.nonce,
})
export type NewWebhookMessage = Static<typeof NewWebhookMessage>
