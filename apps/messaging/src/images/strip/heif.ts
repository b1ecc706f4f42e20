import type { Stripped } from './index.ts'
import { Plan } from './plan.ts'
import { type ObjectReader, UnreadablePicture } from './reader.ts'

type Box = { type: string; start: number; body: number; end: number }
type Extent = { start: number; length: number }

const MOST_BOXES = 10_000
// What a picture is made of, its parts that say something included: those are blanked one by one.
const KEPT = new Set(['ftyp', 'meta', 'mdat', 'moov', 'mini', 'idat', 'pdin', 'styp'])
// In a film's description: where and by whom it was taken.
const TELLING_IN_MOOV = new Set(['udta', 'meta', 'uuid'])
const MOOV_CONTAINERS = new Set(['moov', 'trak', 'mdia', 'minf', 'stbl'])
const TELLING_ITEMS = new Set(['Exif', 'mime', 'uri '])

/** An AVIF or HEIC with those of its items blank that say something about it. How it is to be turned is no such item. */
export async function stripHeif(reader: ObjectReader): Promise<Stripped> {
  const bytes = Buffer.from(await reader.exactly(0, reader.size))
  const before = Buffer.from(bytes)
  const size = new Heif(bytes).strip()
  const plan = new Plan()
  if (bytes.equals(before)) plan.copy(0, bytes.length)
  else plan.insert(bytes)
  return { plan, ...size }
}

class Heif {
  #boxes = 0

  constructor(private readonly bytes: Buffer) {}

  strip(): { width: number; height: number } {
    const top = [...this.#boxesIn(0, this.bytes.length)]
    const meta = top.find(({ type }) => type === 'meta')
    const moov = top.find(({ type }) => type === 'moov')
    if (!meta) throw new UnreadablePicture('nothing says what is in it')
    const parts = [...this.#boxesIn(meta.body + 4, meta.end)]
    const size = this.#sizeIn(parts)
    this.#blankItems(parts)
    if (moov) this.#blankFilm(moov)
    for (const box of top) if (!KEPT.has(box.type)) this.#blank(box)
    return size
  }

  *#boxesIn(start: number, end: number): Generator<Box> {
    for (let at = start; at + 8 <= end; ) {
      this.#boxes += 1
      if (this.#boxes > MOST_BOXES) throw new UnreadablePicture('it has too many boxes')
      const small = this.#u32(at)
      const large = small === 1
      const length = small === 0 ? end - at : large ? this.#uint(at + 8, 8) : small
      const body = at + (large ? 16 : 8)
      if (at + length > end || at + length < body) throw new UnreadablePicture('a box reaches outside')
      yield { type: this.bytes.toString('latin1', at + 4, at + 8), start: at, body, end: at + length }
      at += length
    }
  }

  /** The largest of the sizes that are told: of tiles and thumbnails there are sizes too. */
  #sizeIn(parts: Box[]): { width: number; height: number } {
    const properties = parts
      .filter(({ type }) => type === 'iprp')
      .flatMap((box) => [...this.#boxesIn(box.body, box.end)])
    const all = properties.filter(({ type }) => type === 'ipco').flatMap((box) => [...this.#boxesIn(box.body, box.end)])
    const sizes = all
      .filter(({ type }) => type === 'ispe')
      .map(({ body }) => ({ width: this.#u32(body + 4), height: this.#u32(body + 8) }))
    const largest = sizes.toSorted((a, b) => b.width * b.height - a.width * a.height)[0]
    if (!largest) throw new UnreadablePicture('it has no size')
    const turns = all.find(({ type }) => type === 'irot')
    const sideways = turns !== undefined && this.#uint(turns.body, 1) % 2 === 1
    return sideways ? { width: largest.height, height: largest.width } : largest
  }

  #blankItems(parts: Box[]): void {
    const telling = new Set<number>()
    for (const box of parts) {
      if (box.type === 'iinf') for (const id of this.#tellingItems(box)) telling.add(id)
      if (['uuid', 'xml ', 'bxml', 'udta', 'free', 'skip'].includes(box.type)) this.#blank(box)
    }
    const idat = parts.find(({ type }) => type === 'idat')
    for (const box of parts) {
      if (box.type !== 'iloc') continue
      for (const { start, length } of this.#extents(box, telling, idat)) this.bytes.fill(0, start, start + length)
    }
  }

  *#tellingItems(iinf: Box): Generator<number> {
    const wide = this.#uint(iinf.body, 1) > 0
    for (const entry of this.#boxesIn(iinf.body + (wide ? 8 : 6), iinf.end)) {
      const version = this.#uint(entry.body, 1)
      // Items of older versions have no type; nobody writes pictures with them.
      if (entry.type !== 'infe' || version < 2) continue
      const idBytes = version === 2 ? 2 : 4
      const type = this.bytes.toString('latin1', entry.body + 6 + idBytes, entry.body + 10 + idBytes)
      if (TELLING_ITEMS.has(type)) yield this.#uint(entry.body + 4, idBytes)
    }
  }

  #extents(iloc: Box, wanted: Set<number>, idat: Box | undefined): Extent[] {
    const version = this.#uint(iloc.body, 1)
    const sizes = this.#uint(iloc.body + 4, 2)
    const [offsetBytes, lengthBytes, baseBytes] = [sizes >> 12, (sizes >> 8) & 15, (sizes >> 4) & 15]
    const indexBytes = version > 0 ? sizes & 15 : 0
    const idBytes = version === 2 ? 4 : 2
    let at = iloc.body + 6
    const take = (length: number) => {
      at += length
      return this.#uint(at - length, length)
    }
    const found: Extent[] = []
    for (let items = take(idBytes); items > 0; items -= 1) {
      const id = take(idBytes)
      const inIdat = version > 0 && (take(2) & 15) === 1
      at += 2
      const base = take(baseBytes)
      for (let extents = take(2); extents > 0; extents -= 1) {
        at += indexBytes
        const [offset, length] = [take(offsetBytes), take(lengthBytes)]
        if (!wanted.has(id)) continue
        const start = base + offset + (inIdat ? (idat?.body ?? 0) : 0)
        // No length means all the rest.
        found.push({
          start,
          length: length === 0 ? (inIdat ? (idat?.end ?? start) : this.bytes.length) - start : length,
        })
      }
    }
    return found
  }

  #blankFilm(container: Box): void {
    for (const box of this.#boxesIn(container.body, container.end)) {
      if (TELLING_IN_MOOV.has(box.type)) this.#blank(box)
      else if (MOOV_CONTAINERS.has(box.type)) this.#blankFilm(box)
    }
  }

  /** Leaves as much room as there was, and nothing in it. */
  #blank(box: Box): void {
    this.bytes.write('free', box.start + 4, 'latin1')
    this.bytes.fill(0, box.body, box.end)
  }

  #u32(at: number): number {
    return this.#uint(at, 4)
  }

  #uint(at: number, length: number): number {
    if (length === 0) return 0
    if (at + length > this.bytes.length) throw new UnreadablePicture('it points outside itself')
    if (length <= 6) return this.bytes.readUIntBE(at, length)
    const value = Number(this.bytes.readBigUInt64BE(at))
    if (!Number.isSafeInteger(value)) throw new UnreadablePicture('it points outside itself')
    return value
  }
}
