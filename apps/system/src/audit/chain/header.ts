import { hashLeaf } from '@conntext/merkle'

/** What the log says of a batch, and its checkpoints cover. Hashes are base64. */
export type Header = {
  /** When it was made. */
  at: string
  /** The key that signs it. */
  key: string
  /** `adopted`: its events are from before the chain, and were not protected until then. */
  kind: 'live' | 'adopted'
  log: string
  /** From 1, without gaps. */
  number: number
  /** The header's hash of the batch before; null for the first. */
  previous: string | null
  /** Of the Merkle tree over its events. */
  root: string
  size: number
  /** How many events the batches before it hold. */
  start: number
}

/** In the canonical form of RFC 8785. It is the batch's entry in the log. */
export const headerText = ({ at, key, kind, log, number, previous, root, size, start }: Header): string =>
  JSON.stringify({ at, key, kind, log, number, previous, root, size, start, v: 1 })

export const headerHash = (header: Header): Buffer => hashLeaf(headerText(header))

export const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
