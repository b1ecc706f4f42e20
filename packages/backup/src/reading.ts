import { createHash, type Hash } from 'node:crypto'
import { createTarDecoder, type ParsedTarEntry } from 'modern-tar'
import { countLines } from './archive.ts'
import { decrypt, type Secret } from './encryption.ts'
import { BackupError } from './errors.ts'
import {
  type BackupHeader,
  type BackupManifest,
  type BackupPart,
  type BackupSnapshot,
  FORMAT,
  HEADER,
  INDEX,
  MANIFEST,
  MOST_PIECE_BYTES,
  OBJECTS,
  type ObjectLine,
  SNAPSHOT,
} from './format.ts'

/** What a backup holds, in its order. An object's body is to be read before the next is asked for, or not at all. */
export type BackupItem =
  | { kind: 'header'; header: BackupHeader }
  | { kind: 'object'; key: string; size: number; body: ReadableStream<Uint8Array> }
  | { kind: 'snapshot'; snapshot: BackupSnapshot }
  | { kind: 'piece'; part: string; data: Uint8Array }
  | { kind: 'manifest'; manifest: BackupManifest }

const MOST_JSON_BYTES = 256 * 2 ** 20

/**
 * Reads a backup from its first byte to its last. Every byte is authenticated before it is given on, and everything is
 * held against the hashes of the manifest, which comes last: only when this ends without throwing was it whole.
 * @throws BackupError
 */
export async function* readBackup(
  sealed: ReadableStream<Uint8Array>,
  secret: Secret,
): AsyncGenerator<BackupItem, void, undefined> {
  const plain = await decrypt(sealed, secret)
  const tally = new Tally()
  const entries = plain.pipeThrough(createTarDecoder({ strict: true })).getReader()
  try {
    for (let read = await entries.read(); !read.done; read = await entries.read()) {
      yield* itemsOf(read.value, tally)
    }
  } catch (error) {
    throw error instanceof BackupError ? error : damaged(error)
  } finally {
    await entries.cancel().catch(() => {})
  }
  if (!tally.isComplete) throw new BackupError('This backup is not whole: its end is missing.')
}

// What is authentic and can't be read was not written by us; all else was cut off or changed.
const damaged = (error: unknown): unknown => {
  const text = error instanceof Error ? error.message : String(error)
  return /tag|chunk|ciphertext|tar|archive|zstd|header|unexpected|truncated|premature/i.test(text)
    ? new BackupError(`This backup is damaged: bytes of it were changed or are missing (${text}).`)
    : error
}

async function* itemsOf({ header: { name, size }, body }: ParsedTarEntry, tally: Tally): AsyncGenerator<BackupItem> {
  if (tally.isComplete) throw new BackupError(`This backup is damaged: ${name} comes after its end.`)
  if (name === HEADER) {
    const header = (await jsonOf(body, size)) as BackupHeader
    if (header.format > FORMAT) {
      throw new BackupError(`This backup was made by release ${header.release}, which is newer than this one.`)
    }
    yield { kind: 'header', header }
  } else if (name === SNAPSHOT) yield { kind: 'snapshot', snapshot: (await jsonOf(body, size)) as BackupSnapshot }
  else if (name === MANIFEST) {
    const manifest = (await jsonOf(body, size)) as BackupManifest
    tally.compare(manifest)
    yield { kind: 'manifest', manifest }
  } else if (name.startsWith(OBJECTS)) yield* objectOf(name.slice(OBJECTS.length), size, body, tally)
  else if (name.startsWith(INDEX)) tally.index(await unpacked(body, size))
  else {
    const part = name.slice(0, name.lastIndexOf('/'))
    const data = await unpacked(body, size)
    tally.piece(part, data)
    yield { kind: 'piece', part, data }
  }
}

async function* objectOf(
  key: string,
  size: number,
  body: ReadableStream<Uint8Array>,
  tally: Tally,
): AsyncGenerator<BackupItem> {
  const hash = createHash('sha256')
  let seen = 0
  const hashed = body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        hash.update(chunk)
        seen += chunk.length
        controller.enqueue(chunk)
      },
    }),
  )
  yield { kind: 'object', key, size, body: hashed }
  if (!hashed.locked) for await (const _ of hashed);
  if (seen !== size) throw new BackupError(`This backup is damaged: the file ${key} is not whole.`)
  tally.object({ key, size, sha256: hash.digest('hex') })
}

async function bytesOf(body: ReadableStream<Uint8Array>, size: number, most: number): Promise<Uint8Array> {
  if (size > most) throw new BackupError('This backup is damaged: a part of it is too large.')
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks)
}

const jsonOf = async (body: ReadableStream<Uint8Array>, size: number): Promise<unknown> =>
  JSON.parse(Buffer.from(await bytesOf(body, size, MOST_JSON_BYTES)).toString())

const unpacked = async (body: ReadableStream<Uint8Array>, size: number): Promise<Uint8Array> =>
  Bun.zstdDecompress(await bytesOf(body, size, MOST_PIECE_BYTES))

type Counted = { hash: Hash; rows: number; bytes: number; pieces: number }

/** What has come, to be held against what was written. */
class Tally {
  isComplete = false
  readonly #parts = new Map<string, Counted>()
  readonly #index = createHash('sha256')
  #objects = { count: 0, bytes: 0 }
  #unnamed: ObjectLine[] = []

  object(line: ObjectLine): void {
    this.#unnamed.push(line)
    this.#objects.count += 1
    this.#objects.bytes += line.size
  }

  index(text: Uint8Array): void {
    this.#index.update(text)
    const lines = Buffer.from(text).toString().trimEnd().split('\n')
    const came = this.#unnamed
    this.#unnamed = []
    for (const [at, line] of lines.entries()) {
      const said = JSON.parse(line) as ObjectLine
      const object = came[at]
      if (object?.key !== said.key) throw new BackupError(`This backup lacks the file ${said.key}.`)
      if (object.sha256 !== said.sha256) throw new BackupError(`The file ${said.key} is not as it was backed up.`)
    }
    if (came.length !== lines.length) throw new BackupError('This backup has files that it does not name.')
  }

  piece(part: string, data: Uint8Array): void {
    const counted = this.#parts.get(part) ?? { hash: createHash('sha256'), rows: 0, bytes: 0, pieces: 0 }
    this.#parts.set(part, counted)
    counted.hash.update(data)
    counted.rows += countLines(data)
    counted.bytes += data.length
    counted.pieces += 1
  }

  compare({ parts, objects }: BackupManifest): void {
    for (const part of parts) {
      if (!isSame(part, this.#parts.get(part.name))) {
        throw new BackupError(`This backup is damaged: ${part.name} is not as it was backed up.`)
      }
    }
    const said = new Set(parts.map(({ name }) => name))
    const other = [...this.#parts.keys()].find((name) => !said.has(name))
    if (other !== undefined) throw new BackupError(`This backup has ${other}, which it does not name.`)
    const { count, bytes } = this.#objects
    const index = this.#index.digest('hex')
    if (this.#unnamed.length > 0 || count !== objects.count || bytes !== objects.bytes || index !== objects.sha256) {
      throw new BackupError('This backup is damaged: its files are not those that were backed up.')
    }
    this.isComplete = true
  }
}

const EMPTY = createHash('sha256').digest('hex')

function isSame(part: BackupPart, counted: Counted | undefined): boolean {
  const { rows, bytes, pieces } = counted ?? { rows: 0, bytes: 0, pieces: 0 }
  const sha256 = counted?.hash.digest('hex') ?? EMPTY
  return part.rows === rows && part.bytes === bytes && part.pieces === pieces && part.sha256 === sha256
}
