import { type Orientation, orientationExif, orientationOf, turned } from './exif.ts'
import type { Stripped } from './index.ts'
import { Plan } from './plan.ts'
import { type ObjectReader, UnreadablePicture } from './reader.ts'

const SIGNATURE = 8
const FRAME = 12
const LONGEST_EXIF = 64 * 1024
// What is needed to show it. All else says something about it.
const KEPT = new Set(
  ('IHDR PLTE IDAT IEND tRNS cHRM gAMA iCCP sBIT sRGB cICP mDCV cLLI bKGD hIST pHYs sPLT ' + 'acTL fcTL fdAT').split(
    ' ',
  ),
)

/** A PNG, animated or not, with what it takes to show it, and nothing after its end. */
export async function stripPng(reader: ObjectReader): Promise<Stripped> {
  const plan = new Plan()
  plan.copy(0, SIGNATURE)
  const header = await reader.exactly(SIGNATURE, 8 + 13)
  if (header.toString('latin1', 4, 8) !== 'IHDR') throw new UnreadablePicture('it has no header')
  const [width, height] = [header.readUInt32BE(8), header.readUInt32BE(12)]
  let orientation: Orientation = 1
  for (let at = SIGNATURE; at + 8 <= reader.size; ) {
    const head = await reader.exactly(at, 8)
    const length = head.readUInt32BE(0)
    const type = head.toString('latin1', 4, 8)
    const end = at + FRAME + length
    if (type === 'eXIf' && length <= LONGEST_EXIF) {
      orientation = orientationOf(await reader.read(at + 8, length))
      if (orientation !== 1) plan.insert(orientationChunk(orientation))
    }
    if (KEPT.has(type)) plan.copy(at, Math.min(end, reader.size))
    if (type === 'IEND') break
    at = end
  }
  return { plan, ...turned(width, height, orientation) }
}

function orientationChunk(orientation: Orientation): Buffer {
  const exif = orientationExif(orientation)
  const chunk = Buffer.alloc(FRAME + exif.length)
  chunk.writeUInt32BE(exif.length, 0)
  chunk.write('eXIf', 4, 'latin1')
  exif.copy(chunk, 8)
  chunk.writeUInt32BE(Bun.hash.crc32(chunk.subarray(4, 8 + exif.length)), 8 + exif.length)
  return chunk
}
