import type { Stripped } from './index.ts'
import { Plan } from './plan.ts'
import { type ObjectReader, UnreadablePicture } from './reader.ts'

const HEADER = 13
const IMAGE = 0x2c
const EXTENSION = 0x21
const TRAILER = 0x3b
const COMMENT = 0xfe
const APPLICATION = 0xff
// How often it is played, and its colour profile.
const KEPT = new Set(['NETSCAPE2.0', 'ANIMEXTS1.0', 'ICCRGBG1012'])

/** A GIF, animated or not, without comments and what applications have put into it, and nothing after its end. */
export async function stripGif(reader: ObjectReader): Promise<Stripped> {
  const header = await reader.exactly(0, HEADER)
  const [width, height] = [header.readUInt16LE(6), header.readUInt16LE(8)]
  const plan = new Plan()
  let at = HEADER + tableSize(header[10]!)
  plan.copy(0, Math.min(at, reader.size))
  while (at < reader.size) {
    const head = Buffer.from(await reader.read(at, 14))
    const kind = head[0]!
    if (kind === TRAILER) {
      plan.copy(at, at + 1)
      break
    }
    const end = await blockEnd(reader, at, head)
    if (isKept(head)) plan.copy(at, end)
    at = end
  }
  return { plan, width, height }
}

const tableSize = (flags: number): number => (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0)

function isKept(head: Buffer): boolean {
  if (head[0] !== EXTENSION) return true
  if (head[1] === COMMENT) return false
  return head[1] !== APPLICATION || KEPT.has(head.toString('latin1', 3, 14))
}

async function blockEnd(reader: ObjectReader, at: number, head: Buffer): Promise<number> {
  if (head[0] === EXTENSION) return skipParts(reader, at + 2)
  if (head[0] !== IMAGE || head.length < 10) throw new UnreadablePicture('it has a block of no kind')
  // The descriptor, its colours, and a byte on how they are packed.
  return skipParts(reader, at + 10 + tableSize(head[9]!) + 1)
}

/** Where a chain of parts ends: each begins with its length, the last has none. */
async function skipParts(reader: ObjectReader, from: number): Promise<number> {
  for (let at = from; at < reader.size; ) {
    const bytes = await reader.read(at, 64 * 1024)
    let index = 0
    while (index < bytes.length) {
      const length = bytes[index]!
      index += 1 + length
      if (length === 0) return at + index
    }
    at += index
  }
  return reader.size
}
