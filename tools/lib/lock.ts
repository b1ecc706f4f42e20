import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Holds a lock file until it is disposed of. A lock whose holder is gone is taken over; `waiting` is called once
 * when somebody else holds it.
 */
export async function acquireLock(file: string, waiting: () => void): Promise<AsyncDisposable> {
  await mkdir(dirname(file), { recursive: true })
  for (let told = false; ; ) {
    if (await create(file)) return { [Symbol.asyncDispose]: () => rm(file, { force: true }) }
    if (await isAbandoned(file)) {
      await rm(file, { force: true })
      continue
    }
    if (!told) waiting()
    told = true
    await Bun.sleep(250)
  }
}

async function create(file: string): Promise<boolean> {
  try {
    await writeFile(file, String(process.pid), { flag: 'wx' })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

async function isAbandoned(file: string): Promise<boolean> {
  const holder = Number(await readFile(file, 'utf8').catch(() => ''))
  // Empty for a moment while its holder writes it, or gone: not abandoned.
  if (!holder) return false
  try {
    process.kill(holder, 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}
