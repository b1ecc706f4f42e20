import { createHash } from 'node:crypto'
import { ObjectNotFound, type ObjectStore } from '@conntext/object-store'
import type { ArchiveWriter } from './archive.ts'
import { INDEX, OBJECTS, type ObjectLine } from './format.ts'
import type { Reader, Snapshot } from './postgres.ts'

const AT_ONCE = 500
type Row = { id: string; key: string; thumbnail: string | null }

/**
 * Copies objects into the archive, each once, and after every so many of them what they are. A key in memory costs about
 * a hundred bytes.
 */
export class ObjectCopies {
  readonly #copied = new Set<string>()
  readonly #index = createHash('sha256')
  #lines: ObjectLine[] = []
  #pages = 0
  #bytes = 0

  constructor(
    private readonly archive: ArchiveWriter,
    private readonly objects: Pick<ObjectStore, 'get'>,
    private readonly told: (bytes: number) => void,
  ) {}

  /** What rows name at this moment. What goes meanwhile goes, and what is missing is looked for again. */
  async copyCurrent({ connection }: Reader): Promise<void> {
    let after = '00000000-0000-0000-0000-000000000000'
    for (;;) {
      const rows = await connection<Row[]>`select id, key, thumbnail_key as thumbnail from media_objects
        where id > ${after} order by id limit ${AT_ONCE}`
      for (const key of keysOf(rows)) await this.#copy(key)
      if (rows.length < AT_ONCE) return
      after = rows.at(-1)!.id
    }
  }

  /** What the snapshot's rows name, and has not been copied yet. Answers which of those are not there. */
  async copyNamed(snapshot: Snapshot): Promise<string[]> {
    const missing: string[] = []
    let after = '00000000-0000-0000-0000-000000000000'
    for (;;) {
      const rows = await snapshot.query<Row>(
        'select id, key, thumbnail_key as thumbnail from media_objects where id > $1 order by id limit $2',
        [after, AT_ONCE],
      )
      for (const key of keysOf(rows)) if (!(await this.#copy(key))) missing.push(key)
      if (rows.length < AT_ONCE) break
      after = rows.at(-1)!.id
    }
    await this.#writeIndex()
    return missing
  }

  get total() {
    return { count: this.#copied.size, bytes: this.#bytes, sha256: this.#index.copy().digest('hex') }
  }

  async #copy(key: string): Promise<boolean> {
    if (this.#copied.has(key)) return true
    const found = await this.objects.get(key).catch((error: unknown) => {
      if (error instanceof ObjectNotFound) return undefined
      throw error
    })
    if (!found) return false
    const { size, body } = found
    const sha256 = await this.archive.addStream(OBJECTS + key, size, body, this.told)
    this.#copied.add(key)
    this.#bytes += size
    this.#lines.push({ key, size, sha256 })
    if (this.#lines.length >= AT_ONCE) await this.#writeIndex()
    return true
  }

  async #writeIndex(): Promise<void> {
    if (this.#lines.length === 0) return
    const text = Buffer.from(this.#lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
    this.#lines = []
    this.#index.update(text)
    const number = String(this.#pages).padStart(6, '0')
    this.#pages += 1
    await this.archive.add(`${INDEX}${number}.jsonl.zst`, await Bun.zstdCompress(text))
  }
}

const keysOf = (rows: Row[]): string[] =>
  rows.flatMap(({ key, thumbnail }) => (thumbnail === null ? [key] : [key, thumbnail]))
