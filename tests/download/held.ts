import { readdir, readFile, readlink } from 'node:fs/promises'

/** Connections of this machine with bytes in them that nobody takes: their inodes. */
async function stalled(): Promise<Set<string>> {
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8').catch(() => '')))
  const lines = tables.flatMap((table) => table.split('\n').slice(1, -1)).map((line) => line.trim().split(/\s+/))
  return new Set(lines.filter(([, , , , queues]) => /[1-9A-F]/.test(queues ?? '')).map((columns) => columns[9]!))
}

/** What a process holds of files and connections that somebody is not done with: media that are open, bytes on their way. */
export async function heldBy(pid: number): Promise<string[]> {
  const fds = await readdir(`/proc/${pid}/fd`)
  const targets = await Promise.all(fds.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')))
  const inodes = await stalled()
  return targets.filter(
    (target) => target.includes('/media/') || inodes.has(/^socket:\[(\d+)\]$/.exec(target)?.[1] ?? ''),
  )
}
