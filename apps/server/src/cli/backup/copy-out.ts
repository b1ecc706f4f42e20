import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { StartError } from '@conntext/kernel'
import { ObjectNotFound, type ObjectStore } from '@conntext/object-store'
import { progressBar } from '../progress.ts'

const MIB = 2 ** 20
const MOST_FAILURES = 5
const PAUSE_MS = 500

type Made = { name: string; size: number | null; sha256: string | null }

/**
 * Copies a backup out of where backups are kept. A connection that breaks is made anew where it was; the file is there
 * under its name only when it is the one that was made.
 * @throws StartError where it is not
 */
export async function copyOut(target: Pick<ObjectStore, 'get'>, { name, size, sha256 }: Made, to: string) {
  const temporary = `${to}.part`
  const hash = createHash('sha256')
  const bar = progressBar()
  const total = Math.ceil(size! / MIB)
  async function* hashed() {
    let done = 0
    for await (const chunk of bytesOf(target, name, size!)) {
      hash.update(chunk)
      done += chunk.length
      bar.show({ done: Math.floor(done / MIB), total, what: 'MiB copied' })
      yield chunk
    }
  }
  try {
    await pipeline(hashed(), createWriteStream(temporary, { mode: 0o600, flush: true }))
    if (hash.digest('hex') !== sha256) throw new StartError(`${name} is no longer what was made: copy it again.`)
    await rename(temporary, to)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  } finally {
    bar.end()
  }
}

async function* bytesOf(target: Pick<ObjectStore, 'get'>, name: string, size: number): AsyncGenerator<Uint8Array> {
  let at = 0
  for (let failures = 0; at < size; ) {
    const before = at
    try {
      const { body } = await target.get(name, { range: { start: at } })
      for await (const chunk of body) {
        at += chunk.length
        yield chunk
      }
      if (at < size) throw new Error(`${name} ended early`)
    } catch (error) {
      failures = at > before ? 1 : failures + 1
      if (error instanceof ObjectNotFound || failures >= MOST_FAILURES) throw error
      await Bun.sleep(PAUSE_MS * failures)
    }
  }
}
