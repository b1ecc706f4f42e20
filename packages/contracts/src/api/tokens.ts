import { type Static, Type } from '@sinclair/typebox'
import { Id, Nullable, Page, Shape, Timestamp } from './common.ts'
import { Confirmation, PermissionName, User, Username } from './identity.ts'

/** How long an API token lives unless it is told: 90 days. */
export const API_TOKEN_DEFAULT_S = 90 * 24 * 60 * 60

export const ApiToken = Shape('ApiToken', {
  id: Id,
  name: Type.String(),
  scopes: Type.Array(PermissionName, { description: 'All that it may be used for, whatever its bearer may do' }),
  /** In whose name it acts: a person or a bot. */
  userId: Id,
  createdBy: Id,
  createdAt: Timestamp,
  expiresAt: Nullable(Timestamp),
  lastUsedAt: Nullable(Timestamp),
})
export type ApiToken = Static<typeof ApiToken>
export const ApiTokenPage = Page('ApiTokenPage', ApiToken)

/** Takes a confirmation. With `botId` the token is the bot's. */
export const NewApiToken = Shape('NewApiToken', {
  name: Type.String({ minLength: 1, maxLength: 64, pattern: '\\S' }),
  scopes: Type.Array(PermissionName, { minItems: 1, maxItems: 64, uniqueItems: true }),
  expiresInSeconds: Type.Optional(
    Nullable(
      Type.Integer({ minimum: 60, maximum: 31_536_000, description: '90 days unless told; null for one without end' }),
    ),
  ),
  botId: Type.Optional(Id),
  ...Confirmation,
})
export type NewApiToken = Static<typeof NewApiToken>

export const CreatedApiToken = Shape('CreatedApiToken', {
  ...ApiToken.properties,
  token: Type.String({ description: 'Shown this once' }),
})
export type CreatedApiToken = Static<typeof CreatedApiToken>

/** A user that a program is: without a password, it comes by API tokens alone. */
export const Bot = Shape('Bot', {
  ...User.properties,
  createdBy: Nullable(Id),
  isMember: Type.Boolean({ description: 'False for one that was kicked or banned' }),
})
export type Bot = Static<typeof Bot>
export const BotPage = Page('BotPage', Bot)

const DisplayName = Nullable(Type.String({ minLength: 1, maxLength: 64 }))

export const NewBot = Shape('NewBot', { username: Username, displayName: Type.Optional(DisplayName) })
export type NewBot = Static<typeof NewBot>

export const BotPatch = Shape('BotPatch', {
  username: Type.Optional(Username),
  displayName: Type.Optional(DisplayName),
})
export type BotPatch = Static<typeof BotPatch>
