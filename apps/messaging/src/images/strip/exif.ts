/** How a picture is to be turned before it is shown: 1 to 8, as Exif counts; 1 for not at all. */
export type Orientation = number

const ORIENTATION = 0x0112

/** The orientation in an Exif block, which begins with its TIFF header; 1 where none can be made out. */
export function orientationOf(exif: Buffer): Orientation {
  if (exif.length < 8) return 1
  const little = exif.toString('latin1', 0, 2) === 'II'
  const u16 = (at: number) => (at + 2 > exif.length ? 0 : little ? exif.readUInt16LE(at) : exif.readUInt16BE(at))
  const start = little ? exif.readUInt32LE(4) : exif.readUInt32BE(4)
  const count = u16(start)
  for (let at = start + 2; at < start + 2 + count * 12 && at + 12 <= exif.length; at += 12) {
    const value = u16(at + 8)
    if (u16(at) === ORIENTATION) return value >= 1 && value <= 8 ? value : 1
  }
  return 1
}

/** An Exif block that tells the orientation, and nothing else. */
export function orientationExif(orientation: Orientation): Buffer {
  const exif = Buffer.alloc(26)
  exif.write('II*\0', 'latin1')
  exif.writeUInt32LE(8, 4)
  exif.writeUInt16LE(1, 8)
  exif.writeUInt16LE(ORIENTATION, 10)
  // One value of two bytes.
  exif.writeUInt16LE(3, 12)
  exif.writeUInt32LE(1, 14)
  exif.writeUInt16LE(orientation, 18)
  return exif
}

/** A picture's size as it is shown. */
export const turned = (width: number, height: number, orientation: Orientation) =>
  orientation >= 5 ? { width: height, height: width } : { width, height }
