import { createHash } from 'node:crypto'
import { createTarPacker } from 'modern-tar'
import { type BackupPart, PIECE_BYTES } from './format.ts'

const ZSTD = { level: 3 }
const NEWLINE = 10

export type Source = AsyncIterable<Uint8Array>

/**
 * Writes a tar archive whose entries come one after the other; `stream` must be read meanwhile. Whoever writes waits for
 * whoever reads, so that little of it is in memory at once.
 */
export class ArchiveWriter {
  readonly stream: ReadableStream<Uint8Array>
  readonly #tar: ReturnType<typeof createTarPacker>['controller']
  readonly #mtime: Date

  constructor(mtime: Date) {
    const { readable, controller } = createTarPacker()
    this.stream = readable
    this.#tar = controller
    this.#mtime = mtime
  }

  async add(name: string, data: Uint8Array): Promise<void> {
    const entry = this.#entry(name, data.length)
    if (data.length > 0) await entry.write(data)
    await entry.close()
  }

  addJson(name: string, value: object): Promise<void> {
    return this.add(name, Buffer.from(JSON.stringify(value, null, 1)))
  }

  /** Exactly so many bytes; answers their SHA-256 in hex. */
  async addStream(name: string, size: number, body: Source, told: (bytes: number) => void): Promise<string> {
    const entry = this.#entry(name, size)
    const hash = createHash('sha256')
    let left = size
    for await (const chunk of body) {
      left -= chunk.length
      if (left < 0) break
      hash.update(chunk)
      await entry.write(chunk)
      told(chunk.length)
    }
    if (left !== 0) throw new Error(`${name} is not as long as it was said to be`)
    await entry.close()
    return hash.digest('hex')
  }

  /**
   * Lines of text, cut into packed entries of bounded size: `<name>/000000.<extension>.zst` and on. Pieces end where
   * lines do. `told` is given the bytes as they come.
   */
  async addLines(
    name: string,
    extension: string,
    lines: Source,
    told: (bytes: number) => void = () => {},
  ): Promise<BackupPart> {
    const part = { name, rows: 0, bytes: 0, pieces: 0 }
    const hash = createHash('sha256')
    for await (const piece of pieces(lines, told)) {
      part.rows += countLines(piece)
      part.bytes += piece.length
      hash.update(piece)
      const number = String(part.pieces).padStart(6, '0')
      await this.add(`${name}/${number}.${extension}.zst`, await Bun.zstdCompress(piece, ZSTD))
      part.pieces += 1
    }
    return { ...part, sha256: hash.digest('hex') }
  }

  end(): void {
    this.#tar.finalize()
  }

  fail(error: unknown): void {
    this.#tar.error(error)
  }

  #entry(name: string, size: number): WritableStreamDefaultWriter<Uint8Array> {
    return this.#tar.add({ name, size, mtime: this.#mtime, mode: 0o600 }).getWriter()
  }
}

/** Cuts at the last line that ends within a piece's size; a line that is longer than that is a piece of its own. */
async function* pieces(source: Source, told: (bytes: number) => void): AsyncGenerator<Buffer> {
  let held: Uint8Array[] = []
  let size = 0
  for await (const chunk of source) {
    told(chunk.length)
    held.push(chunk)
    size += chunk.length
    if (size < PIECE_BYTES) continue
    const all = Buffer.concat(held)
    const end = all.lastIndexOf(NEWLINE) + 1
    if (end > 0) yield all.subarray(0, end)
    held = end === all.length ? [] : [all.subarray(end)]
    size = all.length - end
  }
  if (size > 0) yield Buffer.concat(held)
}

export function countLines(data: Uint8Array): number {
  let count = 0
  for (let at = data.indexOf(NEWLINE); at !== -1; at = data.indexOf(NEWLINE, at + 1)) count += 1
  return count
}
