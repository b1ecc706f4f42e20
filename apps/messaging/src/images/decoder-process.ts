// Decodes pictures in a process of its own: what a malicious one can break, or use up, is this process and no more. Its
// parent sends it requests, and ends it when one takes too long.
import sharp from 'sharp'
import { type DecodeAnswer, type DecodeRequest, LIMITS, THUMBNAIL_EDGE } from './decoding.ts'

// What its parent checks for is time; memory it checks itself. libvips works in threads: this timer goes on meanwhile.
setInterval(() => {
  if (process.memoryUsage.rss() > LIMITS.memoryBytes) process.exit(LIMITS.exitCode)
}, 20)

// At a terminal, what is meant for the server reaches this process too.
process.on('SIGINT', () => {})

sharp.cache(false)
sharp.concurrency(1)
// Only these formats; of all others not even the beginning is parsed.
sharp.block({ operation: ['VipsForeignLoad'] })
sharp.unblock({
  operation: [
    'VipsForeignLoadJpeg',
    'VipsForeignLoadPng',
    'VipsForeignLoadWebp',
    'VipsForeignLoadNsgif',
    'VipsForeignLoadTiff',
    'VipsForeignLoadHeif',
  ],
})

async function thumbnail(path: string): Promise<Uint8Array> {
  return sharp(path, { limitInputPixels: LIMITS.pixels, sequentialRead: true, failOn: 'none', animated: false })
    .autoOrient()
    .resize({ width: THUMBNAIL_EDGE, height: THUMBNAIL_EDGE, fit: 'inside', withoutEnlargement: true })
    .webp({ quality: 80 })
    .timeout({ seconds: LIMITS.seconds })
    .toBuffer()
}

const tell = (answer: DecodeAnswer) => process.send!(answer)

process.on('message', ({ id, path }: DecodeRequest) => {
  thumbnail(path).then(
    (bytes) => tell({ id, thumbnail: bytes }),
    (error: Error) => tell({ id, failure: error.message }),
  )
})
process.on('disconnect', () => process.exit(0))
tell({ id: 0, ready: true })
