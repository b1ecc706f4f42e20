import { type Orientation, orientationExif, orientationOf, turned } from './exif.ts'
import type { Stripped } from './index.ts'
import { Plan } from './plan.ts'
import { type ObjectReader, UnreadablePicture } from './reader.ts'

const SOI = 0xd8
const EOI = 0xd9
const SOS = 0xda
const EXIF = 'Exif\0\0'
// What a decoder needs of the segments that applications may add: how to take the colours.
const KEPT: Record<number, string> = { 224: 'JFIF\0', 226: 'ICC_PROFILE\0', 238: 'Adobe' }

const isApplication = (marker: number) => marker >= 0xe0 && marker <= 0xef
const isComment = (marker: number) => marker === 0xfe
const isRestart = (marker: number) => marker >= 0xd0 && marker <= 0xd7
const isFrame = (marker: number) => marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)

/**
 * A JPEG without what applications have put into it, but for its colour profile and its orientation, and without what
 * follows its end: cameras put a second picture there, or a film.
 */
export async function stripJpeg(reader: ObjectReader): Promise<Stripped> {
  const plan = new Plan()
  let size: { width: number; height: number } | undefined
  let orientation: Orientation = 1
  for (let at = 0; at < reader.size; ) {
    const found = await nextMarker(reader, at)
    if (!found) break
    const { marker, offset } = found
    if (marker === SOI || marker === EOI || marker === 0x01 || isRestart(marker)) {
      plan.copy(offset, offset + 2)
      at = offset + 2
      if (marker === EOI) break
      continue
    }
    const end = offset + 2 + (await reader.exactly(offset + 2, 2)).readUInt16BE()
    if (isFrame(marker)) {
      const frame = await reader.exactly(offset + 5, 4)
      size ??= { height: frame.readUInt16BE(0), width: frame.readUInt16BE(2) }
    }
    if (marker === SOS) {
      at = await scanEnd(reader, end)
      plan.copy(offset, at)
      continue
    }
    const exif = await exifOf(reader, marker, offset, end)
    if (exif) {
      orientation = orientationOf(exif)
      if (orientation !== 1) plan.insert(orientationSegment(orientation))
    } else if (await isKept(reader, marker, offset)) plan.copy(offset, Math.min(end, reader.size))
    at = end
  }
  if (!size) throw new UnreadablePicture('it has no frame')
  return { plan, ...turned(size.width, size.height, orientation) }
}

/** The next marker from here on; what is in front of it belongs to nothing. */
async function nextMarker(reader: ObjectReader, from: number): Promise<{ marker: number; offset: number } | undefined> {
  for (let at = from; at + 1 < reader.size; ) {
    const bytes = await reader.read(at, 4096)
    const index = bytes.indexOf(0xff)
    if (index === -1 || index + 1 >= bytes.length) {
      at += Math.max(1, index === -1 ? bytes.length : index)
      continue
    }
    const marker = bytes[index + 1]!
    // 0xff may be repeated before a marker; with a zero it is none.
    if (marker !== 0xff && marker !== 0) return { marker, offset: at + index }
    at += index + 1
  }
  return undefined
}

/** Where a scan's data ends: at the next marker that is no part of it. */
async function scanEnd(reader: ObjectReader, from: number): Promise<number> {
  for (let at = from; at < reader.size; ) {
    const bytes = await reader.read(at, 64 * 1024)
    let index = bytes.indexOf(0xff)
    while (index !== -1 && index + 1 < bytes.length) {
      const next = bytes[index + 1]!
      if (next !== 0 && next !== 0xff && !isRestart(next)) return at + index
      index = bytes.indexOf(0xff, index + (next === 0xff ? 1 : 2))
    }
    // A 0xff at the very end is looked at again with what follows.
    at += index === -1 || bytes.length === 1 ? bytes.length : index
  }
  return reader.size
}

async function exifOf(reader: ObjectReader, marker: number, offset: number, end: number): Promise<Buffer | undefined> {
  if (marker !== 0xe1) return undefined
  const payload = await reader.read(offset + 4, Math.max(0, end - offset - 4))
  return payload.toString('latin1', 0, EXIF.length) === EXIF ? payload.subarray(EXIF.length) : undefined
}

async function isKept(reader: ObjectReader, marker: number, offset: number): Promise<boolean> {
  if (isComment(marker)) return false
  if (!isApplication(marker)) return true
  const name = KEPT[marker]
  return name !== undefined && (await reader.read(offset + 4, name.length)).toString('latin1') === name
}

function orientationSegment(orientation: Orientation): Buffer {
  const payload = Buffer.concat([Buffer.from(EXIF, 'latin1'), orientationExif(orientation)])
  const head = Buffer.from([0xff, 0xe1, 0, 0])
  head.writeUInt16BE(payload.length + 2, 2)
  return Buffer.concat([head, payload])
}
