import { readdir, readFile } from 'node:fs/promises'
import { startServerProcess } from '@conntext/testing'
import { identify } from './lib/identify.ts'
import { type Bench, cost, median } from './lib/result.ts'
import { startBaseline, startBenchServer } from './lib/server.ts'
import { openListeners } from './lib/sockets.ts'

const MIB = 1024 * 1024

/** Memory idle and for each connection, and how long a start takes, against a bare Bun.serve in the same run. */
export const footprint: Bench = async ({ quick }, report) => {
  await starts(quick ? 1 : 3, report)
  await memory(quick ? 500 : 2_000, report)
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
    await using bare = await startBaseline('publish.ts')
    await fetch(`http://127.0.0.1:${bare.port}`)
    times.bare.push(performance.now() - bareBegan)
  }
  const baselineOf = 'a bare Bun.serve process'
  report(cost('cold_start', 'ms', median(times.cold), median(times.bare), { baselineOf, until: '/readyz' }))
  report(cost('warm_start', 'ms', median(times.warm), median(times.bare), { baselineOf, until: '/readyz' }))
}

async function memory(connections: number, report: Parameters<Bench>[1]): Promise<void> {
  await using bench = await startBenchServer()
  await using bare = await startBaseline('publish.ts')
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
  const before = await residentBytes(bench.server.pid)
  const token = await bench.api.accessToken()
  const url = `${bench.server.url.replace('http', 'ws')}/v1/gateway`
  const ours = await openListeners(url, connections, identify(token))
  const used = (await residentBytes(bench.server.pid)) - before
  const theirs = await openListeners(`ws://127.0.0.1:${bare.port}`, connections, (socket, ready) => {
    socket.onopen = ready
  })
  const bareUsed = (await residentBytes(bare.pid)) - bareIdle
  for (const { socket } of [...ours, ...theirs]) socket.close()
  report(
    cost('memory_connection', 'KiB', used / 1024 / connections, bareUsed / 1024 / connections, {
      baselineOf: 'a bare Bun.serve WebSocket',
      connections,
    }),
  )
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
