import { turned } from './exif.ts'
import type { Stripped } from './index.ts'
import { Plan } from './plan.ts'
import { type ObjectReader, UnreadablePicture } from './reader.ts'

const ENTRY = 12
const MOST_DIRECTORIES = 1000
const VALUE_BYTES = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4]
const [WIDTH, HEIGHT, ORIENTATION, SUBDIRECTORIES] = [256, 257, 274, 330]
// Cameras' raw files are TIFFs as well, of which every tag may matter: DNG, Canon's, and patterns of colour filters.
const RAW_TAGS = new Set([50706, 50752, 33421, 33422])
const KIND = 254
// Directories that only say something: who, when, where, by what settings.
const TELLING = new Set([34665, 34853, 40965])
// What it takes to show it (TIFF 6.0 and its usual extensions). All else says something about it.
const KEPT = new Set([
  254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281, 282, 283, 284, 290, 291,
  292, 293, 296, 297, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 326, 327, 328, 330, 332, 334, 336, 338, 339,
  340, 341, 342, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, 34675, 42113,
])

type Entry = { tag: number; offset: number; value: number; valueAt: number; valueBytes: number; count: number }

/** A TIFF without what is said about it: its directories are made shorter, and what they pointed to is blank. */
export async function stripTiff(reader: ObjectReader): Promise<Stripped> {
  const bytes = Buffer.from(await reader.exactly(0, reader.size))
  const before = Buffer.from(bytes)
  const tiff = new Tiff(bytes)
  const size = tiff.strip()
  const plan = new Plan()
  if (bytes.equals(before)) plan.copy(0, bytes.length)
  else plan.insert(bytes)
  return { plan, ...size }
}

/** Whether an entry tells of a raw file: in those, what comes first is only a small picture of what there is. */
const isRaw = ({ tag, value }: Entry, isFirst: boolean): boolean =>
  RAW_TAGS.has(tag) || (isFirst && tag === KIND && value % 2 === 1)

class Tiff {
  readonly #little: boolean
  readonly #seen = new Set<number>()
  #size: { width: number; height: number } | undefined

  constructor(private readonly bytes: Buffer) {
    const order = bytes.toString('latin1', 0, 2)
    this.#little = order === 'II'
    if ((order !== 'II' && order !== 'MM') || this.#u16(2) !== 42) throw new UnreadablePicture('it is no classic TIFF')
  }

  strip(): { width: number; height: number } {
    this.#stripChain(this.#u32(4))
    if (!this.#size) throw new UnreadablePicture('it has no size')
    return this.#size
  }

  #stripChain(first: number): void {
    for (let at = first; at !== 0 && this.#enter(at); ) {
      const entries = this.#entries(at)
      if (entries.some((entry) => isRaw(entry, this.#seen.size === 1))) throw new UnreadablePicture('it is a raw file')
      const end = at + 2 + entries.length * ENTRY
      const next = this.#u32(end)
      this.#size ??= this.#sizeOf(entries)
      const kept = entries.filter((entry) => KEPT.has(entry.tag))
      for (const entry of entries) if (!KEPT.has(entry.tag)) this.#blank(entry)
      for (const entry of kept) if (entry.tag === SUBDIRECTORIES) this.#stripSubdirectories(entry)
      this.#rewrite(at, kept, { next, end: end + 4 })
      at = next
    }
  }

  #stripSubdirectories(entry: Entry): void {
    for (let index = 0; index < Math.min(entry.count, MOST_DIRECTORIES); index += 1) {
      this.#stripChain(this.#u32(entry.valueAt + index * 4))
    }
  }

  #sizeOf(entries: Entry[]) {
    const of = (tag: number) => entries.find((entry) => entry.tag === tag)?.value
    const [width, height] = [of(WIDTH), of(HEIGHT)]
    return width && height ? turned(width, height, of(ORIENTATION) ?? 1) : undefined
  }

  /** Whether the directory is there, and was not looked at yet: a chain may run in circles. */
  #enter(at: number): boolean {
    if (this.#seen.has(at)) return false
    this.#seen.add(at)
    if (this.#seen.size > MOST_DIRECTORIES) throw new UnreadablePicture('it has too many directories')
    return true
  }

  #entries(at: number): Entry[] {
    const count = this.#u16(at)
    return Array.from({ length: count }, (_, index) => {
      const offset = at + 2 + index * ENTRY
      const [tag, type, values] = [this.#u16(offset), this.#u16(offset + 2), this.#u32(offset + 4)]
      const valueBytes = values * (VALUE_BYTES[type] ?? 1)
      const valueAt = valueBytes > 4 ? this.#u32(offset + 8) : offset + 8
      const value = type === 3 ? this.#u16(offset + 8) : this.#u32(offset + 8)
      return { tag, offset, value, valueAt, valueBytes, count: values }
    })
  }

  #blank(entry: Entry): void {
    if (TELLING.has(entry.tag)) this.#blankDirectory(entry.value)
    if (entry.valueBytes > 4) this.bytes.fill(0, entry.valueAt, entry.valueAt + entry.valueBytes)
  }

  #blankDirectory(at: number): void {
    if (!this.#enter(at)) return
    const entries = this.#entries(at)
    for (const entry of entries) this.#blank(entry)
    this.bytes.fill(0, at, at + 2 + entries.length * ENTRY + 4)
  }

  #rewrite(at: number, kept: Entry[], { next, end }: { next: number; end: number }): void {
    const copies = kept.map(({ offset }) => Buffer.from(this.bytes.subarray(offset, offset + ENTRY)))
    this.bytes.fill(0, at, end)
    this.#write16(at, copies.length)
    Buffer.concat(copies).copy(this.bytes, at + 2)
    this.#write32(at + 2 + copies.length * ENTRY, next)
  }

  #u16(at: number): number {
    if (at + 2 > this.bytes.length) throw new UnreadablePicture('it points outside itself')
    return this.#little ? this.bytes.readUInt16LE(at) : this.bytes.readUInt16BE(at)
  }

  #u32(at: number): number {
    if (at + 4 > this.bytes.length) throw new UnreadablePicture('it points outside itself')
    return this.#little ? this.bytes.readUInt32LE(at) : this.bytes.readUInt32BE(at)
  }

  #write16(at: number, value: number): void {
    if (this.#little) this.bytes.writeUInt16LE(value, at)
    else this.bytes.writeUInt16BE(value, at)
  }

  #write32(at: number, value: number): void {
    if (this.#little) this.bytes.writeUInt32LE(value, at)
    else this.bytes.writeUInt32BE(value, at)
  }
}
