import { describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLogger } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import sharp from 'sharp'
import { Decoder, DecoderEnded, DecoderLate, NoDecoder, UndecodablePicture } from '../src/images/decoder.ts'
import { picture, pngBomb } from './picture-files.ts'

async function startDecoder() {
  const directory = await mkdtemp(join(tmpdir(), 'conntext-decoder-'))
  const decoder = new Decoder(silentLogger)
  return {
    decoder,
    async file(name: string, bytes: Uint8Array) {
      await Bun.write(join(directory, name), bytes)
      return join(directory, name)
    },
    async [Symbol.asyncDispose]() {
      await decoder.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** The processes of this one that decode. */
const decoders = () =>
  readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .filter((pid) => {
      try {
        const parent = / \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\)/, ''))?.[1]
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
        return parent === String(process.pid) && command.includes('decoder-process')
      } catch {
        return false
      }
    })
    .map(Number)

describe('decoding', () => {
  test('makes thumbnails one after the other, in one process that ends with its owner', async () => {
    const place = await startDecoder()
    const path = await place.file('a.png', await picture({ width: 900, height: 300 }).png().toBuffer())
    const made = await Promise.all([1, 2, 3].map(() => place.decoder.thumbnail(path)))
    for (const bytes of made) expect(await sharp(bytes).metadata()).toMatchObject({ width: 400, format: 'webp' })
    await place[Symbol.asyncDispose]()
  })

  test('knows pictures of six formats, and nothing else that its library could open', async () => {
    await using place = await startDecoder()
    const others = {
      'a.svg': '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
      'a.ppm': 'P3 1 1 255 1 2 3',
      'a.pdf': '%PDF-1.7\n',
      'a.csv': '1,2\n3,4\n',
    }
    for (const [name, text] of Object.entries(others)) {
      const path = await place.file(name, Buffer.from(text))
      await expect(place.decoder.thumbnail(path)).rejects.toThrow(UndecodablePicture)
    }
    await expect(place.decoder.thumbnail('/nowhere')).rejects.toThrow(UndecodablePicture)
    const bomb = await place.file('bomb.png', pngBomb(50_000, 50_000))
    await expect(place.decoder.thumbnail(bomb)).rejects.toThrow(UndecodablePicture)
  })

  test.if(process.platform === 'linux')('goes on after its process was killed', async () => {
    await using place = await startDecoder()
    const path = await place.file('a.png', await picture().png().toBuffer())
    const large = await place.file('b.png', await picture({ width: 3000, height: 3000 }).png().toBuffer())
    // From now on the process is there for as long as it isn't idle for half a minute.
    await place.decoder.thumbnail(path)
    const [pid] = decoders()
    const cut = place.decoder.thumbnail(large).catch((error: unknown) => error)
    process.kill(pid!, 'SIGKILL')
    expect(await cut).toBeInstanceOf(DecoderEnded)
    expect((await place.decoder.thumbnail(path)).length).toBeGreaterThan(0)
    await place.decoder.stop()
    await eventually(() => decoders().length === 0)
  })

  test('that starts late is tried again; only one that never starts is taken for none', async () => {
    await using place = await startDecoder()
    const program = await place.file('hangs.ts', Buffer.from('setInterval(() => {}, 1_000)'))
    const path = await place.file('a.png', await picture().png().toBuffer())
    const decoder = new Decoder(silentLogger, { program, startMs: 100 })
    for (const late of [1, 2]) {
      const error = await decoder.thumbnail(path).catch((thrown: unknown) => thrown)
      expect([late, error instanceof DecoderLate, decoder.missing]).toEqual([late, true, false])
    }
    await expect(decoder.thumbnail(path)).rejects.toThrow(NoDecoder)
    expect(decoder.missing).toBe(true)
    await decoder.stop()
  })
})
