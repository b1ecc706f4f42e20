import type { Bus } from '@conntext/bus'
import {
  ACCESS_TOKEN_AUDIENCE,
  ACCESS_TOKEN_ISSUER,
  type AuthorityChange,
  type AuthoritySnapshot,
  type AuthPort,
  type Channel,
  everyoneDefaults,
  type Grant,
  type JsonWebKeySet,
  newApiToken,
  type Permission,
  subjects,
} from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'

const NOW = '2026-01-01T00:00:00.000Z'

const nameOf = (userId: string): string => `user-${userId.slice(-6)}`

type ApiToken = NonNullable<Awaited<ReturnType<AuthPort['identifyToken']>>>
type Offered = 'authority' | 'grant' | 'grants' | 'keys' | 'revokedSessions' | 'identifyToken' | 'findUsers' | 'ownUser'

/**
 * The auth service's port for the tests of another service, which may not import it: real tokens signed with a real
 * key, and a snapshot that the test shapes. Changes go out on the bus, as the real ones do.
 */
export async function testAuthority(bus: Bus) {
  const { publicKey, privateKey } = await generateKeyPair('Ed25519', { extractable: true })
  const { x } = await exportJWK(publicKey)
  const keys = {
    keys: [{ kty: 'OKP', crv: 'Ed25519', x: x!, kid: 'test', alg: 'EdDSA', use: 'sig' }],
  } satisfies JsonWebKeySet
  const everyone = newRole('everyone', everyoneDefaults, 0)
  const grants = new Map<string, Grant>()
  const snapshot: AuthoritySnapshot = {
    version: 1,
    ownerId: null,
    server: {
      name: 'Test',
      description: null,
      iconId: null,
      registrationMode: 'open',
      requireMfa: false,
      requireModerationReason: false,
      systemChannelId: null,
      messageRetentionDays: null,
      callRetentionDays: null,
      limits: { maxMessageLength: 4000, maxFileBytes: 500_000_000, maxMediaPerMessage: 10 },
      maintenance: null,
      createdAt: NOW,
    },
    roles: [{ ...everyone, isEveryone: true }],
    channels: [],
    overrides: [],
  }
  const announce = (change: AuthorityChange) => bus.announce(subjects.authority, JSON.stringify(change))
  const apiTokens = new Map<string, ApiToken>()
  const revoked: { id: string; revokedAt: string }[] = []
  const port: Pick<AuthPort, Offered> = {
    authority: async () => structuredClone(snapshot),
    grant: async ({ userId }) => grants.get(userId) ?? null,
    grants: async ({ userIds }) => userIds.flatMap((id) => grants.get(id) ?? []),
    keys: async () => keys,
    revokedSessions: async () => ({ sessions: [...revoked] }),
    identifyToken: async ({ token }) => apiTokens.get(token) ?? null,
    findUsers: async ({ usernames }) =>
      [...grants.keys()]
        .map((id) => ({ id, username: nameOf(id) }))
        .filter(({ username }) => usernames.some((name) => name.toLowerCase() === username)),
    ownUser: async ({ userId }) =>
      grants.has(userId)
        ? {
            id: userId,
            username: nameOf(userId),
            kind: grants.get(userId)!.kind,
            displayName: null,
            avatarId: null,
            status: null,
            isDeleted: false,
            createdAt: NOW,
            email: null,
            emailVerified: false,
            isOwner: snapshot.ownerId === userId,
            isMember: grants.get(userId)!.standing === 'active',
            hasPassword: true,
            mfaEnabled: grants.get(userId)!.mfa,
          }
        : null,
  }

  return {
    port,
    snapshot,
    /** Says that the test has changed `snapshot`. */
    async changed() {
      snapshot.version += 1
      await announce({})
    },
    /** A member with a token of their own; `permissions` come by a role made for them. */
    async member(options: { permissions?: Permission[]; owner?: boolean; expiresIn?: number } = {}) {
      const userId = newId()
      const sessionId = newId()
      const role = options.permissions && newRole(`role of ${userId}`, options.permissions, snapshot.roles.length)
      if (role) snapshot.roles.push(role)
      if (options.owner) snapshot.ownerId = userId
      grants.set(userId, {
        userId,
        kind: 'user',
        standing: 'active',
        timedOutUntil: null,
        mfa: false,
        roleIds: role ? [role.id] : [],
      })
      await this.changed()
      await announce({ userId })
      const expires = Math.floor(Date.now() / 1000) + (options.expiresIn ?? 300)
      const token = await new SignJWT({ sid: sessionId })
        .setProtectedHeader({ alg: 'EdDSA', kid: 'test' })
        .setSubject(userId)
        .setIssuer(ACCESS_TOKEN_ISSUER)
        .setAudience(ACCESS_TOKEN_AUDIENCE)
        .setIssuedAt()
        .setExpirationTime(expires)
        .sign(privateKey)
      return { userId, sessionId, token }
    },
    /** An API token of a member's, good for `scopes` alone. */
    apiToken(userId: string, scopes: Permission[], expiresAt: string | null = null) {
      const token = newApiToken()
      const tokenId = newId()
      apiTokens.set(token, { tokenId, userId, scopes, expiresAt })
      return { token, tokenId }
    },
    /** As `revoke`, and the bus loses the news. */
    revokeSilently(sessionId: string) {
      for (const [token, { tokenId }] of apiTokens) if (tokenId === sessionId) apiTokens.delete(token)
      revoked.push({ id: sessionId, revokedAt: new Date().toISOString() })
    },
    async setGrant(userId: string, change: Partial<Grant>) {
      grants.set(userId, { ...grants.get(userId)!, ...change })
      await announce({ userId })
    },
    async channel(fields: Partial<Channel> = {}): Promise<Channel> {
      const channel: Channel = {
        id: newId(),
        name: 'general',
        type: 'text',
        parentId: null,
        topic: null,
        slowModeSeconds: 0,
        messageRetentionDays: null,
        userLimit: null,
        audioBitrate: null,
        videoLimit: null,
        position: snapshot.channels.length,
        createdAt: NOW,
        ...fields,
      }
      snapshot.channels.push(channel)
      await this.changed()
      return channel
    },
    /** Ends a session or an API token, by its id. */
    async revoke(sessionId: string, userId: string) {
      this.revokeSilently(sessionId)
      await bus.announce(subjects.sessionRevoked, JSON.stringify({ sessionId, userId }))
    },
  }
}

const newRole = (name: string, permissions: Permission[], position: number) => ({
  id: newId(),
  name,
  colour: null,
  position,
  permissions,
  requireMfa: false,
  isEveryone: false,
  createdAt: NOW,
})
