import { hash } from 'node:crypto'

export const HASH_BYTES = 32

const sha256 = (data: string | Uint8Array): Buffer => hash('sha256', data, 'buffer')

// RFC 9162, 2.1.1: by its first byte a leaf can't pass for a node, nor a node for a leaf.

const LEAF = '\0'

export const hashLeaf = (entry: string | Uint8Array): Buffer =>
  sha256(typeof entry === 'string' ? LEAF + entry : Buffer.concat([Buffer.from(LEAF), entry]))

// Used anew for every node: nothing keeps it.
const pair = Buffer.alloc(1 + 2 * HASH_BYTES, 1)

export function hashNode(left: Uint8Array, right: Uint8Array): Buffer {
  pair.set(left, 1)
  pair.set(right, 1 + HASH_BYTES)
  return sha256(pair)
}

/** The root of a tree without leaves. */
export const EMPTY_ROOT: Uint8Array = sha256('')

export const equalHashes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
