import { stripGif } from './gif.ts'
import { stripHeif } from './heif.ts'
import { stripJpeg } from './jpeg.ts'
import type { Plan } from './plan.ts'
import { stripPng } from './png.ts'
import { type ObjectReader, UnreadablePicture } from './reader.ts'
import { stripTiff } from './tiff.ts'
import { stripWebp } from './webp.ts'

export { type Plan, streamPlan } from './plan.ts'
export { ObjectReader, UnreadablePicture } from './reader.ts'

/** What a picture is to be made of, so that it shows the same and tells nothing; and its size as it is shown. */
export type Stripped = { plan: Plan; width: number; height: number }

// Formats whose parts lie anywhere are read as a whole.
const MOST_AT_ONCE = 64 * 1024 * 1024

const strippers: Record<string, (reader: ObjectReader) => Promise<Stripped>> = {
  'image/jpeg': stripJpeg,
  'image/png': stripPng,
  'image/apng': stripPng,
  'image/webp': stripWebp,
  'image/gif': stripGif,
  'image/tiff': whole(stripTiff),
  'image/avif': whole(stripHeif),
  'image/heic': whole(stripHeif),
  'image/heif': whole(stripHeif),
  'image/heic-sequence': whole(stripHeif),
  'image/heif-sequence': whole(stripHeif),
}

function whole(strip: (reader: ObjectReader) => Promise<Stripped>) {
  return async (reader: ObjectReader) => {
    if (reader.size > MOST_AT_ONCE) throw new UnreadablePicture('it is too large to be looked into')
    return strip(reader)
  }
}

/**
 * Takes from a picture what it tells of where, when, by whom and with what it was made (Exif, GPS, XMP, IPTC, comments,
 * whatever follows its end), and leaves its pixels, colours and orientation as they are: nothing is encoded anew.
 * @throws UnreadablePicture where its bytes are not what its type says
 */
export async function stripPicture(reader: ObjectReader, contentType: string): Promise<Stripped> {
  const strip = strippers[contentType]
  if (!strip) throw new UnreadablePicture('it is of no type that is known here')
  try {
    return await strip(reader)
  } catch (error) {
    if (error instanceof RangeError) throw new UnreadablePicture('it points outside itself', { cause: error })
    throw error
  }
}
