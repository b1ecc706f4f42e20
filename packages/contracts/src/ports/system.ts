import { Type } from '@sinclair/typebox'
import { AuditEvent } from '../api/audit.ts'
import { Fields, Id, Nullable } from '../api/common.ts'
import { LogEntry } from '../api/logs.ts'
import { RegistrationMode } from '../api/server.ts'
import { ServiceHealth } from '../api/system.ts'
import { definePort, type PortOf } from './port.ts'
import { StreamAppend, streamOperations } from './streams.ts'

const Acknowledged = Fields({})

export const systemPort = definePort({
  service: 'system',
  operations: {
    ...streamOperations,
    /** Appends to the server's and the users' streams. Repeats are ignored, by event id. */
    appendEvents: {
      repeatable: true,
      request: Fields({ events: Type.Array(StreamAppend, { maxItems: 500 }) }),
      response: Acknowledged,
    },
    /** Stores audit events for good before it answers. Repeats are ignored, by event id. */
    ingestAudit: {
      repeatable: true,
      request: Fields({ events: Type.Array(AuditEvent, { maxItems: 1000 }) }),
      response: Acknowledged,
    },
    /**
     * Takes lines that a service has logged, to be stored when there is time; `lost` were dropped before these. What
     * can't be stored is lost, and counted.
     */
    ingestLogs: {
      repeatable: true,
      quiet: true,
      request: Fields({ entries: Type.Array(LogEntry, { maxItems: 1000 }), lost: Type.Integer({ minimum: 0 }) }),
      response: Acknowledged,
    },
    /**
     * Takes one use of an invite for an account that is about to be made; a repeat for the same user takes no other. With
     * `again` for an account that is there already and wants to come back: whatever it used before, it takes a new one.
     * @throws invite.notFound (404), invite.expired (410), invite.usedUp (410)
     */
    reserveInvite: {
      repeatable: ({ again }: { again?: boolean }) => !again,
      request: Fields({ code: Type.String({ maxLength: 512 }), userId: Id, again: Type.Optional(Type.Boolean()) }),
      response: Fields({ inviteId: Id, roleId: Nullable(Id) }),
    },
    /** Gives the use back: the account was not made. */
    releaseInvite: { repeatable: true, request: Fields({ userId: Id }), response: Acknowledged },
    registrationMode: { repeatable: true, request: Fields({}), response: Fields({ mode: RegistrationMode }) },
    health: { repeatable: true, request: Fields({}), response: ServiceHealth },
  },
})
export type SystemPort = PortOf<typeof systemPort>
