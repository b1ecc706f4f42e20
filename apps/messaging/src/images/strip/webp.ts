import { type Orientation, orientationExif, orientationOf, turned } from './exif.ts'
import type { Stripped } from './index.ts'
import { Plan } from './plan.ts'
import { type ObjectReader, UnreadablePicture } from './reader.ts'

const KEPT = new Set(['VP8 ', 'VP8L', 'ALPH', 'ANIM', 'ANMF', 'ICCP'])
const EXIF_FLAG = 0x08
const XMP_FLAG = 0x04
const LONGEST_EXIF = 64 * 1024

/** A WebP, animated or not, without what is said about it, but for its orientation. */
export async function stripWebp(reader: ObjectReader): Promise<Stripped> {
  const riff = Buffer.from(await reader.exactly(0, 12))
  const stop = Math.min(reader.size, 8 + riff.readUInt32LE(4))
  const plan = new Plan()
  plan.insert(riff)
  let size: { width: number; height: number } | undefined
  let extended: Buffer | undefined
  let orientation: Orientation = 1
  for (let at = 12; at + 8 <= stop; ) {
    const head = await reader.exactly(at, 8)
    const type = head.toString('latin1', 0, 4)
    const length = head.readUInt32LE(4)
    const end = at + 8 + length + (length % 2)
    size ??= await sizeIn(reader, type, at + 8)
    if (type === 'VP8X' && !extended) {
      extended = Buffer.from(await reader.exactly(at, 18))
      plan.insert(extended)
    } else if (type === 'EXIF' && length <= LONGEST_EXIF)
      orientation = orientationOf(await tiffOf(reader, at + 8, length))
    else if (KEPT.has(type)) plan.copy(at, Math.min(end, stop))
    at = end
  }
  if (!size) throw new UnreadablePicture('it has no frame')
  finish(plan, { riff, extended, orientation })
  // An original without anything to take away is the same in one piece.
  if (plan.size === reader.size && orientation === 1 && isUntouched(plan)) {
    const whole = new Plan()
    whole.copy(0, reader.size)
    return { plan: whole, ...size }
  }
  return { plan, ...turned(size.width, size.height, extended ? orientation : 1) }
}

const isUntouched = (plan: Plan): boolean => {
  let at = 0
  return plan.pieces.every((piece) => {
    const follows = piece instanceof Uint8Array || piece.start === at
    at += piece instanceof Uint8Array ? piece.length : piece.end - piece.start
    return follows
  })
}

type Parts = { riff: Buffer; extended: Buffer | undefined; orientation: Orientation }

/** Says in the headers what is there now. */
function finish(plan: Plan, { riff, extended, orientation }: Parts): void {
  if (extended) {
    extended[8] = extended[8]! & ~(EXIF_FLAG | XMP_FLAG)
    if (orientation !== 1) {
      extended[8] |= EXIF_FLAG
      const exif = orientationExif(orientation)
      const head = Buffer.from('EXIF\0\0\0\0', 'latin1')
      head.writeUInt32LE(exif.length, 4)
      plan.insert(Buffer.concat([head, exif]))
    }
  }
  riff.writeUInt32LE(plan.size - 8, 4)
}

/** An Exif block as WebP holds it: some writers put in front of it what a JPEG has there. */
async function tiffOf(reader: ObjectReader, start: number, length: number): Promise<Buffer> {
  const bytes = await reader.read(start, length)
  return bytes.toString('latin1', 0, 4) === 'Exif' ? bytes.subarray(6) : bytes
}

async function sizeIn(reader: ObjectReader, type: string, at: number) {
  if (type === 'VP8X') {
    const bytes = await reader.exactly(at, 10)
    return { width: bytes.readUIntLE(4, 3) + 1, height: bytes.readUIntLE(7, 3) + 1 }
  }
  if (type === 'VP8 ') {
    const bytes = await reader.exactly(at, 10)
    return { width: bytes.readUInt16LE(6) & 0x3fff, height: bytes.readUInt16LE(8) & 0x3fff }
  }
  if (type !== 'VP8L') return undefined
  const bits = (await reader.exactly(at, 5)).readUInt32LE(1)
  return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 }
}
