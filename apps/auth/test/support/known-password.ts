import { AsyncLocalStorage } from 'node:async_hooks'

const { hash } = Bun.password
const within = new AsyncLocalStorage<true>()
const hashes = new Map<string, Promise<string>>()

Bun.password.hash = (password, algorithm) => {
  if (!within.getStore()) return hash(password, algorithm)
  const key = JSON.stringify([String(password), algorithm])
  const known = hashes.get(key) ?? hash(password, algorithm)
  hashes.set(key, known)
  return known
}

/**
 * Does it with passwords that are hashed once, as they always are, and known from then on: tests make a thousand
 * accounts with the same one, and each hash takes a core 45 ms.
 */
export const withKnownPassword = <T>(act: () => Promise<T>): Promise<T> => within.run(true, act)
