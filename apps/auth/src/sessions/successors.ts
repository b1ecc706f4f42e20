import { seal, unseal } from '@conntext/kernel'

type Exchange<S> = { hash: Uint8Array; successor: S }

// Neither the database nor the keys of this server are enough to read it: the used token is needed as well.
const context = (hash: Uint8Array) => `refresh-successor:${Buffer.from(hash).toString('hex')}`

/** Seals what a refresh token (known by its `hash`) is exchanged for; `key` comes from the token itself. */
export const sealSuccessor = (key: Uint8Array, { hash, successor }: Exchange<string>): Uint8Array =>
  seal(key, successor, context(hash))

export const openSuccessor = (key: Uint8Array, { hash, successor }: Exchange<Uint8Array>): string =>
  unseal(key, successor, context(hash)).toString()
