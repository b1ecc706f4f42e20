import { readdir, readFile } from 'node:fs/promises'
import { startServerProcess } from '@conntext/testing'
import { makeAccounts } from './lib/accounts.ts'
import { startCrowd } from './lib/crowd.ts'
import { type Bench, cost, median } from './lib/result.ts'
import { startBaseline, startBenchServer } from './lib/server.ts'

const COLLECT = new URL('./lib/collect.ts', import.meta.url).pathname
const MIB = 1024 * 1024
const ACCOUNTS = 10
const WARM_UP = 500
const SETTLED_S = 5

/** Memory idle and for each connection, and how long a start takes, against a bare Bun.serve in the same run. */
export const footprint: Bench = async ({ quick }, report) => {
  await starts(quick ? 1 : 3, report)
  await memory(quick ? 2_000 : 8_000, report)
}

async function starts(rounds: number, report: Parameters<Bench>[1]): Promise<void> {
  const times = { cold: [] as number[], warm: [] as number[], bare: [] as number[] }
  for (let round = 0; round < rounds; round += 1) {
    const began = performance.now()
    await using server = await startServerProcess()
    times.cold.push(performance.now() - began)
    await server.kill('SIGTERM')
    const again = performance.now()
    await server.restart()
    times.warm.push(performance.now() - again)
    const bareBegan = performance.now()
    await using bare = await startBaseline('topics.ts')
    await fetch(`http://127.0.0.1:${bare.port}`)
    times.bare.push(performance.now() - bareBegan)
  }
  const baselineOf = 'a bare Bun.serve process'
  report(cost('cold_start', 'ms', median(times.cold), median(times.bare), { baselineOf, until: '/readyz' }))
  report(cost('warm_start', 'ms', median(times.warm), median(times.bare), { baselineOf, until: '/readyz' }))
}

async function memory(connections: number, report: Parameters<Bench>[1]): Promise<void> {
  await using bench = await startBenchServer({ BUN_OPTIONS: `--preload ${COLLECT}` })
  await using bare = await startBaseline('topics.ts')
  const idle = await processTree(bench.server.pid)
  const bareIdle = await residentBytes(bare.pid)
  const parts = Object.fromEntries(idle.map(({ name, bytes }) => [name, Math.round(bytes / MIB)]))
  const sum = idle.reduce((all, one) => all + one.bytes, 0)
  report(
    cost('memory_idle', 'MiB', sum / MIB, bareIdle / MIB, {
      baselineOf: 'a bare Bun.serve process',
      of: 'the server with its embedded Postgres and ClickHouse',
      parts,
    }),
  )
  await using crowd = await startCrowd(1)
  const accounts = await makeAccounts(bench, ACCOUNTS)
  const clients = (count: number) =>
    Array.from({ length: count }, (_, index) => ({ path: '/all', token: accounts[index % ACCOUNTS]!.token }))
  const port = Number(new URL(bench.server.url).port)
  const used = async (pid: number, kind: 'gateway' | 'bare', at: number) => {
    // What the first ones need is there for all.
    await crowd.open(`first ${kind}`, kind, at, clients(WARM_UP))
    const before = await settledBytes(pid)
    await crowd.open(kind, kind, at, clients(connections))
    const opened = await residentBytes(pid)
    const after = await settledBytes(pid)
    await crowd.close(kind)
    const each = (bytes: number) => (bytes - before) / 1024 / connections
    return { kept: each(after), opened: each(opened) }
  }
  const [ours, theirs] = [await used(bench.server.pid, 'gateway', port), await used(bare.pid, 'bare', bare.port)]
  report(
    cost('memory_connection', 'KiB', ours.kept, theirs.kept, {
      baselineOf: 'a bare Bun.serve WebSocket',
      connections,
      // With what being let in has left behind for the garbage collector.
      rightAfterOpening: Number(ours.opened.toPrecision(4)),
      baselineRightAfterOpening: Number(theirs.opened.toPrecision(4)),
    }),
  )
}

/** What a process has without its garbage, once it has given back what that took. */
async function settledBytes(pid: number): Promise<number> {
  for (let second = 0; second < SETTLED_S; second += 1) {
    process.kill(pid, 'SIGUSR2')
    await Bun.sleep(1_000)
  }
  return residentBytes(pid)
}

async function residentBytes(pid: number): Promise<number> {
  // Proportional set size: pages shared by several processes are counted once between them.
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '')
  return Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0) * 1024
}

async function processTree(root: number): Promise<{ name: string; bytes: number }[]> {
  const parents = new Map<number, number>()
  for (const entry of await readdir('/proc')) {
    const stat = /^\d+$/.test(entry) ? await readFile(`/proc/${entry}/stat`, 'utf8').catch(() => '') : ''
    const parent = /\) \S (\d+)/.exec(stat)?.[1]
    if (parent) parents.set(Number(entry), Number(parent))
  }
  const inside = (pid: number): boolean => pid === root || (parents.has(pid) && inside(parents.get(pid)!))
  const sums = new Map<string, number>()
  for (const pid of [...parents.keys()].filter(inside)) {
    const command = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' ')
    const name =
      pid === root
        ? 'server'
        : /postgres/.test(command)
          ? 'postgres'
          : /clickhouse/.test(command)
            ? 'clickhouse'
            : 'worker'
    sums.set(name, (sums.get(name) ?? 0) + (await residentBytes(pid)))
  }
  return [...sums].map(([name, bytes]) => ({ name, bytes }))
}
