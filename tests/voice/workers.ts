import { readdir } from 'node:fs/promises'

/** The media workers that are somewhere under these processes. */
export async function workersOf(pids: number[]): Promise<number[]> {
  const all = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const known = new Map(await Promise.all(all.map(async (pid) => [pid, await statusOf(pid)] as const)))
  const isUnder = (pid: number): boolean => pids.includes(pid) || (pid > 1 && isUnder(known.get(pid)?.parent ?? 0))
  return all.filter((pid) => known.get(pid)?.name.startsWith('mediasoup-work') && isUnder(pid))
}

async function statusOf(pid: number): Promise<{ name: string; parent: number } | undefined> {
  // It may be gone by now.
  const text = await Bun.file(`/proc/${pid}/status`)
    .text()
    .catch(() => undefined)
  const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(text ?? '')?.[1] ?? ''
  return text === undefined ? undefined : { name: field('Name'), parent: Number(field('PPid')) }
}
