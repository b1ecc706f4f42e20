import { readFile } from 'node:fs/promises'
import { type Ejabberd, startEjabberd } from './fanout/ejabberd.ts'
import { type Account, makeAccounts, renewTokens } from './lib/accounts.ts'
import { startCrowd } from './lib/crowd.ts'
import { equalise, line, type Run, run, type Side } from './lib/deliveries.ts'
import type { Bench, Result } from './lib/result.ts'
import { startBaseline, startBenchServer } from './lib/server.ts'

const SIZES = [100, 1_000, 10_000]
const ACCOUNTS = 10
// So many people wait for the answer to a message of theirs, and then send the next.
const SENDERS = 16
const WARM_UP = 4_000
// Beside its connections a server has files and engines open.
const SPARE_FILES = 500
// One process can't read as much as two.
const CLIENTS_PER_PROCESS = 5_000

// The peer is slower, and is there for scale only.
const PEER_SHARE = 8

type Setting = {
  quick: boolean
  bench: Awaited<ReturnType<typeof startBenchServer>>
  bare: Awaited<ReturnType<typeof startBaseline>>
  peer: Ejabberd | undefined
  accounts: Account[]
}

/**
 * One channel and all that follow it: events delivered per second, how long each took from the sender's hand to the
 * listener's, and what it cost; against bare Bun.serve publishing frames of the same length to as many. Ours are stored
 * durably first. For scale, the same through the group chat of ejabberd, which stores nothing.
 */
export const fanout: Bench = async ({ quick }, report) => {
  await using bench = await startBenchServer()
  await using bare = await startBaseline('topics.ts')
  await using peer = await startEjabberd()
  const accounts = await makeAccounts(bench, ACCOUNTS)
  const most = (await openFiles()) - SPARE_FILES
  for (const size of quick ? SIZES.slice(0, 2) : SIZES) {
    if (size > most) console.error(`  ${size} clients are left out: no more than ${most} connections may be open here`)
    else await measure({ quick, bench, bare, peer, accounts }, size, report)
  }
}

async function measure(setting: Setting, size: number, report: (result: Result) => void): Promise<void> {
  const { quick, bench, bare, peer, accounts } = setting
  const processes = Math.ceil(size / CLIENTS_PER_PROCESS)
  await using crowd = await startCrowd(processes)
  await renewTokens(bench, accounts)
  const of = <T>(make: (index: number) => T) => Array.from({ length: size }, (_, index) => make(index))
  const senders = Array.from({ length: SENDERS }, (_, index) => index)
  const side = (group: string, pid: number, target: string): Side => ({
    group,
    pids: [pid],
    jobs: senders.map((client) => ({ client, target })),
    clients: size,
    receivers: size,
    padding: 0,
  })
  const ours = side('ours', bench.server.pid, bench.channelId)
  const theirs = side('bare', bare.pid, 'all')
  const others = peer && side('ejabberd', peer.pid, '')
  const port = Number(new URL(bench.server.url).port)
  const members = of((index) => ({ token: accounts[index % ACCOUNTS]!.token }))
  const strangers = of(() => ({ path: '/all' }))
  await crowd.open('ours', 'gateway', port, members)
  await crowd.open('bare', 'bare', bare.port, strangers)
  // Those of another size may still be on their way out: names are not used again.
  const occupants = of((index) => ({ name: `of${size}-${index}` }))
  if (peer) await crowd.open('ejabberd', 'xmpp', peer.port, occupants)
  // What is done for each message is compiled by then, and costs what it does in a server that has run for a while.
  if (size === SIZES[0]) await run(crowd, ours, WARM_UP, SENDERS)
  await equalise(crowd, ours, theirs)
  if (others) await equalise(crowd, ours, others)
  const total = Math.max(64, Math.round((quick ? 200_000 : 800_000) / size))
  const rounds = { ours: [] as Run[], theirs: [] as Run[], others: [] as Run[] }
  for (let round = 0; round < (quick ? 3 : 4); round += 1) {
    rounds.ours.push(await run(crowd, ours, total, SENDERS))
    rounds.theirs.push(await run(crowd, theirs, total, SENDERS))
    if (others) rounds.others.push(await run(crowd, others, Math.ceil(total / PEER_SHARE), SENDERS))
  }
  const more = { clients: size, senders: SENDERS, clientProcesses: processes, frameBytes: rounds.ours[0]!.frameBytes }
  report(line('deliveries', rounds, { baselineOf: 'bare Bun.serve publish of frames of the same length', ...more }))
  if (!peer) return
  const baselineOf = `the group chat of ejabberd ${peer.version}, stanzas of the same length, nothing stored`
  report(line('ejabberd', { ours: rounds.ours, theirs: rounds.others }, { baselineOf, ...more }))
}

/** How many files a process may have open: Bun raises its own limit to what is allowed. */
async function openFiles(): Promise<number> {
  const limits = await readFile('/proc/self/limits', 'utf8').catch(() => '')
  return Number(/^Max open files\s+\d+\s+(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY)
}
