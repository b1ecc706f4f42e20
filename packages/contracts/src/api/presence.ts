import { type Static, Type } from '@sinclair/typebox'
import { Cursor, Enumeration, Fields, Id, Limit, Nullable, Shape, Timestamp } from './common.ts'
import { CustomStatus } from './identity.ts'

/** How many presences `ready` tells at most. */
export const READY_PRESENCES = 100
/** How many members' presences can be asked for by their ids. */
export const MAX_PRESENCES_ASKED = 100

export const ChosenStatus = Enumeration(['online', 'idle', 'dnd', 'invisible'], { title: 'ChosenStatus' })
export type ChosenStatus = Static<typeof ChosenStatus>

/** `invisible` is told to oneself alone; to everybody else whoever is invisible is `offline`. */
export const PresenceStatus = Enumeration(['online', 'idle', 'dnd', 'invisible', 'offline'], {
  title: 'PresenceStatus',
})
export type PresenceStatus = Static<typeof PresenceStatus>

/** Whether somebody is there, and what they say of it: made of all their connections. */
export const Presence = Shape('Presence', {
  userId: Id,
  status: PresenceStatus,
  customStatus: Nullable(CustomStatus),
})
export type Presence = Static<typeof Presence>

/** What a connection says of itself. */
export const presenceFields = {
  status: Type.Optional(ChosenStatus),
  customStatus: Type.Optional(
    Nullable(
      Fields({
        text: Type.Optional(
          Nullable(Type.String({ minLength: 1, maxLength: 512, description: 'At most 128 characters' })),
        ),
        emoji: Type.Optional(Nullable(Type.String({ minLength: 1, maxLength: 64, description: 'One emoji' }))),
        expiresAt: Type.Optional(Nullable(Timestamp)),
      }),
    ),
  ),
}
export const ChosenPresence = Shape('ChosenPresence', presenceFields)
export type ChosenPresence = Static<typeof ChosenPresence>

const UUID = '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}'

export const PresencesQuery = Fields({
  userIds: Type.Optional(
    Type.String({
      pattern: `^${UUID}(,${UUID}){0,${MAX_PRESENCES_ASKED - 1}}$`,
      description:
        `Ids separated by commas, at most ${MAX_PRESENCES_ASKED}: theirs, also of those who are offline. ` +
        'Without it: everybody who is not.',
    }),
  ),
  limit: Limit,
  cursor: Cursor,
})
export type PresencesQuery = Static<typeof PresencesQuery>

const count = () => Type.Integer({ minimum: 0 })

/** How many are there, on the whole server. */
export const PresenceCounts = Shape('PresenceCounts', { total: count(), online: count(), idle: count(), dnd: count() })
export type PresenceCounts = Static<typeof PresenceCounts>

/** By the members' ids. */
export const PresencePage = Shape('PresencePage', {
  items: Type.Array(Presence),
  nextCursor: Nullable(Type.String()),
  counts: PresenceCounts,
})
export type PresencePage = Static<typeof PresencePage>
