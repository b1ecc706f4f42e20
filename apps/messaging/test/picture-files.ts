import { deflateSync } from 'node:zlib'
import sharp from 'sharp'

/** Stands wherever a picture can tell something. */
export const SECRET = 'CONNTEXT-SECRET-PLACE'

const WIDTH = 60
const HEIGHT = 40

export type Format = 'jpeg' | 'png' | 'webp' | 'gif' | 'tiff' | 'avif'
export const FORMATS: Format[] = ['jpeg', 'png', 'webp', 'gif', 'tiff', 'avif']

/** A picture of random colours, twice as many as there are; `pages` of it where it moves. */
export function picture({ width = WIDTH, height = HEIGHT, pages = 1 } = {}) {
  const raw = crypto.getRandomValues(new Uint8Array(Math.min(65_536, width * height * 3)))
  const pixels = Buffer.alloc(width * height * 3 * pages)
  for (let at = 0; at < pixels.length; at += raw.length) Buffer.from(raw).copy(pixels, at)
  const shape = { width, height: height * pages, channels: 3 as const, ...(pages > 1 && { pageHeight: height }) }
  return sharp(pixels, { raw: shape })
}

const XMP = `<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="${SECRET}"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>`

/** A picture as a camera makes it: turned by 90 degrees, and telling where, when and by whom. */
export async function telling(format: Format): Promise<Buffer> {
  const made = picture()
    .withExif({
      IFD0: { Copyright: SECRET, Artist: SECRET, Make: SECRET, Software: SECRET, ImageDescription: SECRET },
      IFD2: { DateTimeOriginal: '2024:01:02 03:04:05', UserComment: SECRET },
      IFD3: { GPSLatitudeRef: 'N', GPSLatitude: '52/1 31/1 12/1', GPSAreaInformation: SECRET },
    })
    .withXmp(XMP)
    .withMetadata({ orientation: 6 })
  return made
    .toFormat(format, format === 'jpeg' ? { quality: 90 } : format === 'tiff' ? { compression: 'lzw' } : {})
    .toBuffer()
}

const segment = (marker: number, payload: string | Buffer) => {
  const bytes = Buffer.from(payload as string, 'latin1')
  const head = Buffer.from([0xff, marker, 0, 0])
  head.writeUInt16BE(bytes.length + 2, 2)
  return Buffer.concat([head, bytes])
}

/** Puts segments behind the start of a JPEG, and something after its end. */
export const stuffedJpeg = (jpeg: Buffer, payloads: [marker: number, payload: string][], tail: string | Buffer = '') =>
  Buffer.concat([
    jpeg.subarray(0, 2),
    ...payloads.map(([marker, payload]) => segment(marker, payload)),
    jpeg.subarray(2),
    Buffer.from(tail as string),
  ])

export function pngChunk(type: string, payload: Buffer | string): Buffer {
  const bytes = Buffer.from(payload as string, 'latin1')
  const chunk = Buffer.alloc(12 + bytes.length)
  chunk.writeUInt32BE(bytes.length, 0)
  chunk.write(type, 4, 'latin1')
  bytes.copy(chunk, 8)
  chunk.writeUInt32BE(Bun.hash.crc32(chunk.subarray(4, 8 + bytes.length)), 8 + bytes.length)
  return chunk
}

const PNG_SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])

/** Puts chunks behind the header of a PNG, and something after its end. */
export const stuffedPng = (png: Buffer, chunks: Buffer[], tail = '') =>
  Buffer.concat([png.subarray(0, 33), ...chunks, png.subarray(33), Buffer.from(tail)])

/** A PNG that says to be of this size, and has hardly any bytes. */
export function pngBomb(width: number, height: number): Buffer {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([1, 0, 0, 0, 0], 8)
  const data = deflateSync(Buffer.alloc(1_000_000))
  return Buffer.concat([PNG_SIGNATURE, pngChunk('IHDR', header), pngChunk('IDAT', data), pngChunk('IEND', '')])
}

/** A GIF of many frames, each of one pixel. */
export function gifOfFrames(count: number): Buffer {
  const header = Buffer.from('474946383961010001008000000000 00ffffff'.replaceAll(' ', ''), 'hex')
  const frame = Buffer.from('21f90404000000002c00000000010001000002024401 00'.replaceAll(' ', ''), 'hex')
  return Buffer.concat([header, ...Array.from({ length: count }, () => frame), Buffer.from([0x3b])])
}

/** A picture's colours, as they are shown. */
export const pixelsOf = (bytes: Uint8Array) => sharp(bytes).autoOrient().raw().toBuffer()
