import type { ServerDetailsExecutor } from '@conntext/db-server-details'
import { equalHashes, Frontier, frontierNodes, HASH_BYTES, rootOf } from '@conntext/merkle'
import { rootAt } from './checkpoints.ts'
import type { Findings } from './findings.ts'
import { headerHash } from './header.ts'
import { checkpointText, keyHash, type Note, originOf } from './note.ts'
import { headerOf } from './proofs.ts'
import { type BatchRow, MissingNode, readBatch, readNodes, unpackHashes } from './queries.ts'
import type { Records } from './records.ts'
import { isSignedBy } from './signing.ts'

// Their signatures take some 10 ms: then it is others' turn. A directory may have a hundred thousand.
const NOTES_AT_ONCE = 100

type Options = {
  db: ServerDetailsExecutor
  logId: string
  records: Records
  findings: Findings
  /** Checkpoints that were kept elsewhere. */
  notes: Note[]
}

/**
 * Goes along the log's batches in Postgres, and recomputes the tree over them. A batch that doesn't follow from what came
 * before it is named; the walk goes on from it as it stands, so that what comes after isn't blamed for it.
 */
export class LogWalk {
  /** Undefined after a gap: there is no tree to go on with. */
  #frontier: Frontier | undefined
  #previous: BatchRow | undefined
  /** Of the newest key so far. */
  #position = 0
  #isSignatureWrong = false
  /** Of the log when it was so long as checkpoints say that it was: of those that lie on the way. */
  readonly #roots: Map<number, Uint8Array | undefined>

  private constructor(private readonly options: Options) {
    this.#roots = new Map(options.notes.map(({ size }) => [size, undefined]))
  }

  /** A walk that begins with the batch `from`. */
  static async begin(options: Options, from: number): Promise<LogWalk> {
    const { db, findings } = options
    const walk = new LogWalk(options)
    try {
      walk.#frontier = Frontier.at(from - 1, await readNodes(db, frontierNodes(from - 1)))
    } catch (error) {
      if (!(error instanceof MissingNode)) throw error
      findings.add('chainRewritten', { batch: error.batch }, 'The batch is missing.')
    }
    if (from > 1) walk.#previous = await readBatch(db, from - 1)
    return walk
  }

  /** Takes the batches from `first` to `last`, as far as they are there. */
  take(batches: BatchRow[], first: number, last: number): void {
    const byNumber = new Map(batches.map((row) => [row.number, row]))
    for (let number = first; number <= last; number += 1) {
      const row = byNumber.get(number)
      if (row) this.#step(row)
      else {
        this.#rewritten(number, 'The batch is missing.')
        this.#frontier = undefined
        this.#previous = undefined
      }
    }
  }

  #rewritten(batch: number, detail: string): void {
    this.options.findings.add('chainRewritten', { batch }, detail)
  }

  #step(row: BatchRow): void {
    const { number, subtrees } = row
    const previous = this.#previous
    if (previous || number === 1) {
      const start = previous ? previous.start + previous.size : 0
      const before = previous?.subtrees.subarray(0, HASH_BYTES) ?? null
      if (row.start !== start) this.#rewritten(number, `It begins at event ${row.start}, and not at ${start}.`)
      if (!sameHash(row.previous, before)) this.#rewritten(number, 'It does not name the batch before it.')
    }
    const hashes = unpackHashes(row.leaves)
    if (hashes.length !== row.size || !equalHashes(rootOf(hashes), row.root)) {
      this.#rewritten(number, 'The hashes of its events do not come to its root.')
    }
    const own = subtrees.subarray(0, HASH_BYTES)
    if (!equalHashes(own, headerHash(headerOf(this.options.logId, row)))) {
      this.#rewritten(number, 'Its header is not the one that the log was built from.')
    }
    if (this.#frontier && !equalHashes(Buffer.concat(this.#frontier.append(own)), subtrees)) {
      this.#rewritten(number, 'The tree over the log does not follow from the batches.')
    }
    if (this.#frontier && this.#roots.has(number)) this.#roots.set(number, this.#frontier.root())
    this.#checkSignature(row)
    this.#previous = row
  }

  #checkSignature({ number, keyId, signature }: BatchRow): void {
    const { records, logId } = this.options
    const key = records.keys.get(keyId)
    const wrong = (detail: string) => {
      // A batch that was changed makes all later signatures wrong: the first one is named.
      if (!this.#isSignatureWrong) this.options.findings.add('signatureWrong', { batch: number }, detail)
      this.#isSignatureWrong = true
    }
    if (!key) wrong(`It names a key that is not one of this log's: ${keyId}.`)
    else if (key.position < this.#position) wrong('It is signed by a key that had been followed by another.')
    else if (this.#frontier) {
      const text = checkpointText({ origin: originOf(logId), size: number, root: this.#frontier.root() })
      if (isSignedBy(key.key, text, signature)) this.#isSignatureWrong = false
      else wrong('Its signature is not over the log up to it.')
    }
    this.#position = Math.max(this.#position, key?.position ?? 0)
  }

  /** Compares the checkpoints that were kept elsewhere with the log as it is, of `size` batches. */
  async compareNotes(size: number): Promise<void> {
    for (const [index, note] of this.options.notes.entries()) {
      if (index % NOTES_AT_ONCE === NOTES_AT_ONCE - 1) await new Promise((resolve) => setImmediate(resolve))
      const detail = await this.#contradiction(note, size)
      if (detail) this.options.findings.add('checkpointContradicts', { batch: note.size }, detail)
    }
  }

  async #contradiction(note: Note, size: number): Promise<string | undefined> {
    const { db, logId } = this.options
    if (note.origin !== originOf(logId)) return `The checkpoint is of another log: ${note.origin}.`
    if (note.size > size) return `The log had ${note.size} batches, and has ${size}.`
    const root =
      this.#roots.get(note.size) ??
      (await rootAt(db, note.size).catch((error: unknown) => {
        if (error instanceof MissingNode) return undefined
        throw error
      }))
    if (!root || !equalHashes(root, note.root)) {
      return `The first ${note.size} batches are not those that the checkpoint is of.`
    }
    return this.#isOurs(note) ? undefined : 'The checkpoint is signed by none of the keys of this log.'
  }

  #isOurs(note: Note): boolean {
    return [...this.options.records.keys.values()].some(({ publicKey, key }) =>
      note.signatures.some(
        (one) =>
          one.keyHash === keyHash(note.origin, publicKey) && isSignedBy(key, checkpointText(note), one.signature),
      ),
    )
  }
}

const sameHash = (a: Uint8Array | null, b: Uint8Array | null): boolean =>
  a === null || b === null ? a === b : equalHashes(a, b)
