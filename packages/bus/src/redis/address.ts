import type { RedisOptions } from 'ioredis'

/** Where one Redis server is, and how to show who we are. */
export type Address = Pick<RedisOptions, 'username' | 'password' | 'tls'> & { host: string; port: number }

const DEFAULT_PORT = 6379

/**
 * Reads `redis://user:password@host:port` or, for TLS, `rediss://…`. A `password` beside it goes first.
 * @throws for anything else; the message does not repeat it, for it may hold a password
 */
export function parseAddress(url: string, password?: string): Address {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (!parsed || !['redis:', 'rediss:'].includes(parsed.protocol) || parsed.hostname === '') {
    throw new Error('a Redis URL must look like redis://host:6379 or rediss://host:6379')
  }
  const secret = password ?? decodeURIComponent(parsed.password)
  return {
    host: parsed.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: parsed.port === '' ? DEFAULT_PORT : Number(parsed.port),
    ...(parsed.username !== '' && { username: decodeURIComponent(parsed.username) }),
    ...(secret !== '' && { password: secret }),
    ...(parsed.protocol === 'rediss:' && { tls: {} }),
  }
}

export const nameOf = ({ host, port }: Address): string => `${host}:${port}`
