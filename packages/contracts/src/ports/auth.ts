import { Type } from '@sinclair/typebox'
import { Fields, Id, Nullable, Timestamp } from '../api/common.ts'
import { JsonWebKeySet, OpaqueToken, OwnUser, PermissionName } from '../api/identity.ts'
import { ServiceHealth } from '../api/system.ts'
import { AuthoritySnapshot, Grant } from '../authority.ts'
import { definePort, type PortOf } from './port.ts'

/** Sessions that ended within the last `seconds`: what a verifier that has just started must know. */
const revokedSessions = {
  request: Fields({ seconds: Type.Integer({ minimum: 1, maximum: 86_400 }) }),
  response: Fields({ sessions: Type.Array(Fields({ id: Id, revokedAt: Timestamp })) }),
}

export const authPort = definePort({
  service: 'auth',
  operations: {
    authority: { request: Fields({}), response: AuthoritySnapshot },
    /** Null for an id that nobody has. */
    grant: { request: Fields({ userId: Id }), response: Nullable(Grant) },
    grants: {
      request: Fields({ userIds: Type.Array(Id, { maxItems: 1000 }) }),
      response: Type.Array(Grant),
    },
    keys: { request: Fields({}), response: JsonWebKeySet },
    revokedSessions,
    /** What an API token stands for, and when it ends; null for one that is wrong or has ended. Records its use. */
    identifyToken: {
      request: Fields({ token: OpaqueToken }),
      response: Nullable(
        Fields({ tokenId: Id, userId: Id, scopes: Type.Array(PermissionName), expiresAt: Nullable(Timestamp) }),
      ),
    },
    ownUser: { request: Fields({ userId: Id }), response: Nullable(OwnUser) },
    health: { request: Fields({}), response: ServiceHealth },
  },
})
export type AuthPort = PortOf<typeof authPort>

/** The claims of an access token (RFC 9068 in spirit): `sub` user, `sid` session. */
export type AccessClaims = { sub: string; sid: string; iat: number; exp: number }
export const ACCESS_TOKEN_ISSUER = 'conntext'
export const ACCESS_TOKEN_AUDIENCE = 'conntext'

/** What API tokens begin with, so that scanners for leaked secrets know them; no access token does. */
export const API_TOKEN_PREFIX = 'conntext_'
