import { expect, test } from 'bun:test'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { acquireLock } from '../lib/lock.ts'

test('one at a time, and a lock whose holder died is taken over', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'conntext-lock-'))
  const file = join(folder, 'lock')
  try {
    const order: string[] = []
    const [isIn, waits] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const work = async (name: string, until?: Promise<void>) => {
      await using _lock = await acquireLock(file, () => {
        order.push(`${name} waits`)
        waits.resolve()
      })
      order.push(`${name} in`)
      isIn.resolve()
      await until
      order.push(`${name} out`)
    }
    await Promise.all([work('first', waits.promise), isIn.promise.then(() => work('second'))])
    expect(order).toEqual(['first in', 'second waits', 'first out', 'second in', 'second out'])

    const gone = Bun.spawn(['true'])
    await gone.exited
    await writeFile(file, String(gone.pid))
    await work('third')
    expect(order.slice(-2)).toEqual(['third in', 'third out'])
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
