import { readdir, readFile } from 'node:fs/promises'

/** Microseconds of processor time that a process has taken so far, in the kernel and out of it, with all its threads. */
export async function cpuOf(pid: number): Promise<number> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => [])
  // Nanoseconds: the times in `stat` come in hundredths of a second, which is too coarse.
  const times = threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').catch(() => '0'))
  return (await Promise.all(times)).reduce((sum, time) => sum + Number.parseInt(time, 10), 0) / 1000
}

/** The same of all its children, theirs included: the engines that a server has started. */
export async function cpuOfChildren(root: number): Promise<number> {
  const parents = new Map<number, number>()
  for (const entry of await readdir('/proc')) {
    const stat = /^\d+$/.test(entry) ? await readFile(`/proc/${entry}/stat`, 'utf8').catch(() => '') : ''
    const parent = /\) \S (\d+)/.exec(stat)?.[1]
    if (parent) parents.set(Number(entry), Number(parent))
  }
  const inside = (pid: number): boolean => parents.get(pid) === root || (parents.has(pid) && inside(parents.get(pid)!))
  const times = await Promise.all([...parents.keys()].filter(inside).map(cpuOf))
  return times.reduce((sum, time) => sum + time, 0)
}

/** Looks again and again how much memory a process has, in bytes. */
export function watchMemory(pid: number) {
  let [before, peak] = [0, 0]
  const look = async () => {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
    const bytes = Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024
    before ||= bytes
    peak = Math.max(peak, bytes)
  }
  void look()
  const timer = setInterval(look, 20)
  return {
    before: () => before,
    peak: () => peak,
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
    },
  }
}
