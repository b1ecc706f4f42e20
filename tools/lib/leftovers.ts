import { readdir, readFile } from 'node:fs/promises'

/** A process that outlived the test run it was started for. */
export interface Leftover {
  pid: number
  command: string
}

/**
 * Finds the processes that carry `marker` in their environment. Only Linux shows another process's environment;
 * elsewhere nothing is found.
 */
export async function findLeftovers(marker: string): Promise<Leftover[]> {
  const found: Leftover[] = []
  for (const entry of await readdir('/proc').catch(() => [])) {
    const pid = Number(entry)
    if (!Number.isInteger(pid) || pid === process.pid) continue
    const environment = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '')
    if (!environment.includes(marker)) continue
    const command = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')
    found.push({ pid, command: command.replaceAll('\0', ' ').trim() })
  }
  return found
}

/** Gives the run's processes a moment to end by themselves, then kills what is left, and answers what it was. */
export async function killLeftovers(marker: string, patienceMs = 3000): Promise<Leftover[]> {
  const deadline = Date.now() + patienceMs
  let left = await findLeftovers(marker)
  while (left.length > 0 && Date.now() < deadline) {
    await Bun.sleep(100)
    left = await findLeftovers(marker)
  }
  for (const { pid } of left) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It ended in between.
    }
  }
  return left
}
