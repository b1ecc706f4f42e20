import { Type } from '@sinclair/typebox'
import { AuditActor } from '../api/audit.ts'
import { Fields, Id, Nullable, Timestamp } from '../api/common.ts'
import { JsonWebKeySet, Member, OpaqueToken, OwnUser, PermissionName } from '../api/identity.ts'
import { ServiceHealth } from '../api/system.ts'
import { AuthoritySnapshot, Grant } from '../authority.ts'
import { definePort, type PortOf } from './port.ts'

/** Sessions and API tokens that were ended within the last `seconds`: what a verifier that has just started must know. */
const revokedSessions = {
  repeatable: true,
  request: Fields({ seconds: Type.Integer({ minimum: 1, maximum: 86_400 }) }),
  response: Fields({ sessions: Type.Array(Fields({ id: Id, revokedAt: Timestamp })) }),
}

export const authPort = definePort({
  service: 'auth',
  operations: {
    authority: { repeatable: true, request: Fields({}), response: AuthoritySnapshot },
    /** Null for an id that nobody has. */
    grant: { repeatable: true, request: Fields({ userId: Id }), response: Nullable(Grant) },
    grants: {
      repeatable: true,
      request: Fields({ userIds: Type.Array(Id, { maxItems: 1000 }) }),
      response: Type.Array(Grant),
    },
    keys: { repeatable: true, request: Fields({}), response: JsonWebKeySet },
    revokedSessions,
    /** What an API token stands for, and when it ends; null for one that is wrong or has ended. Records its use. */
    identifyToken: {
      repeatable: true,
      request: Fields({ token: OpaqueToken }),
      response: Nullable(
        Fields({ tokenId: Id, userId: Id, scopes: Type.Array(PermissionName), expiresAt: Nullable(Timestamp) }),
      ),
    },
    /**
     * Makes somebody who has left a member again, with the invite's role, as `PUT /v1/members/@me` does.
     * @throws registration.closed, .inviteRequired, member.banned (403), invite.notFound (404), member.alreadyMember
     * (409), invite.expired, .usedUp (410), registration.throttled (429)
     */
    join: {
      request: Fields({ userId: Id, inviteCode: Type.Optional(OpaqueToken), actor: AuditActor }),
      response: Member,
    },
    /** Who goes by these user names, in any case; those that nobody has are left out. */
    findUsers: {
      repeatable: true,
      request: Fields({ usernames: Type.Array(Type.String({ maxLength: 64 }), { maxItems: 64 }) }),
      response: Type.Array(Fields({ id: Id, username: Type.String() })),
    },
    ownUser: { repeatable: true, request: Fields({ userId: Id }), response: Nullable(OwnUser) },
    health: { repeatable: true, request: Fields({}), response: ServiceHealth },
  },
})
export type AuthPort = PortOf<typeof authPort>

/** The claims of an access token (RFC 9068 in spirit): `sub` user, `sid` session. */
export type AccessClaims = { sub: string; sid: string; iat: number; exp: number }
export const ACCESS_TOKEN_ISSUER = 'conntext'
export const ACCESS_TOKEN_AUDIENCE = 'conntext'
