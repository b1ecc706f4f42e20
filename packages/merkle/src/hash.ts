import { createHash } from 'node:crypto'

export const HASH_BYTES = 32

const LEAF = new Uint8Array([0])
const NODE = new Uint8Array([1])

export const sha256 = (...parts: (string | Uint8Array)[]): Buffer => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

/** RFC 9162, 2.1.1: a leaf can't pass for a node, nor a node for a leaf. */
export const hashLeaf = (entry: string | Uint8Array): Buffer => sha256(LEAF, entry)
export const hashNode = (left: Uint8Array, right: Uint8Array): Buffer => sha256(NODE, left, right)

/** The root of a tree without leaves. */
export const EMPTY_ROOT: Uint8Array = sha256()

export const equalHashes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
