import { createHmac } from 'node:crypto'
import type { IcePolicy, IceServers } from '@conntext/contracts'

/** What clients are told of STUN and TURN servers. */
export type IceConfig = {
  stunUrls: string[]
  /** Relays, and the secret that they share with us (coturn's `static-auth-secret`). */
  turn: { urls: string[]; secret: string; ttlSeconds: number } | undefined
  policy: IcePolicy
}

export type TurnCredentials = { username: string; credential: string; expiresAt: Date }

/**
 * Credentials that a TURN server recognises by the secret alone, as coturn's REST API has them
 * (draft-uberti-behave-turn-rest-00): the user name says until when they hold, in seconds, and whose they are.
 */
export function turnCredentials(
  { secret, ttlSeconds }: { secret: string; ttlSeconds: number },
  userId: string,
  now: Date,
): TurnCredentials {
  const expires = Math.floor(now.getTime() / 1000) + ttlSeconds
  const username = `${expires}:${userId}`
  // The draft's hash: what TURN servers check is this and no other.
  const credential = createHmac('sha1', secret).update(username).digest('base64')
  return { username, credential, expiresAt: new Date(expires * 1000) }
}

export function iceServersFor({ stunUrls, turn, policy }: IceConfig, userId: string, now: Date): IceServers {
  const stun = stunUrls.length > 0 ? [{ urls: stunUrls }] : []
  if (!turn) return { iceServers: stun, expiresAt: null, iceTransportPolicy: policy }
  const { username, credential, expiresAt } = turnCredentials(turn, userId, now)
  return {
    iceServers: [...stun, { urls: turn.urls, username, credential }],
    expiresAt: expiresAt.toISOString(),
    iceTransportPolicy: policy,
  }
}
