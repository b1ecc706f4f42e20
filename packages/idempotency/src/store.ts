/** An answer as it is kept: its status, and the rest in a form that only its keeper reads. */
export type StoredAnswer = { status: number; answer: Uint8Array }

/**
 * What a key stands for now: this request is the first and must `keep` or `release` its claim; or another one has it
 * for the moment; or the key was used for another request; or the answer is there.
 */
export type Claimed =
  | { state: 'claimed'; claim: string }
  | { state: 'underWay' }
  | { state: 'mismatch' }
  | ({ state: 'answered' } & StoredAnswer)

/** A key, and what was asked with it: both hashes, of any length. */
export type IdempotencyKey = { id: Uint8Array; request: Uint8Array }

/** Where answers are kept, so that a repeat gets the first one's, from whichever instance and after restarts. */
export type IdempotencyStore = {
  /** Takes the key for this request, or tells why not. Of several at once exactly one gets it. */
  claim(key: IdempotencyKey): Promise<Claimed>
  /** Keeps the answer. Does nothing when the claim has lapsed and somebody else took the key. */
  keep(key: IdempotencyKey, claim: string, answer: StoredAnswer): Promise<void>
  /** Gives the key back unused: a repeat starts afresh. */
  release(key: IdempotencyKey, claim: string): Promise<void>
}
