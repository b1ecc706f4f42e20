import { availableParallelism } from 'node:os'
import type { Answer, ClientSpec, Job, Kind, Op, Requests, Wave } from '../crowd/protocol.ts'
import type { Outcome } from '../crowd/tally.ts'

const MAIN = new URL('../crowd/main.ts', import.meta.url).pathname

/** What the machine has for servers and clients together; every line that leans on it says so. */
export const cores = availableParallelism()

// Longer than anything here takes: whatever hangs is to be seen.
const PATIENCE_MS = 180_000

type Ask = <O extends Op>(op: O, ask: Requests[O]['ask']) => Promise<Requests[O]['answer']>

/** Clients in processes of their own. Those of a group are shared out among these, in turn. */
export type Crowd = Awaited<ReturnType<typeof startCrowd>>

export async function startCrowd(processes: number) {
  const members = Array.from({ length: processes }, startMember)
  /** How many of a group each process has. */
  const sizes = new Map<string, number[]>()
  const all = <O extends Op>(op: O, ask: (index: number) => Requests[O]['ask']) =>
    Promise.all(members.map((member, index) => member.ask(op, ask(index))))

  return {
    async open(group: string, kind: Kind, port: number, clients: ClientSpec[]): Promise<void> {
      const shares = members.map((_, index) => clients.filter((_, at) => at % processes === index))
      sizes.set(
        group,
        shares.map(({ length }) => length),
      )
      await all('open', (index) => ({ group, kind, port, clients: shares[index]! }))
    },
    /** So many to each client. */
    expectEach: (group: string, each: number) => all('expect', () => ({ group, each })),
    /** So many to each client in the sum: everybody gets as many, but not the same. */
    expectInAll(group: string, inAll: number) {
      const counts = sizes.get(group)!
      const clients = counts.reduce((sum, count) => sum + count, 0)
      return all('expect', (index) => ({ group, inAll: (inAll / clients) * counts[index]! }))
    },
    async outcome(group: string): Promise<Outcome> {
      return merged(await all('outcome', () => ({ group })))
    },
    /** Whoever sends is in the first process. */
    send: (ask: { group: string; jobs: Job[]; total: number; window: number; padding?: number }) =>
      members[0]!.ask('send', { padding: 0, ...ask }),
    cut: (group: string) => all('cut', () => ({ group })),
    async comeBack(group: string, how: { channelId?: string; bytes?: number }): Promise<Wave> {
      const waves = await all('comeBack', () => ({ group, ...how }))
      return {
        times: waves.flatMap(({ times }) => times),
        bytes: waves[0]!.bytes,
        faults: waves.reduce((sum, { faults }) => sum + faults, 0),
      }
    },
    close: (group: string) => all('close', () => ({ group })),
    /** Microseconds of processor time that the clients have taken so far. */
    async cpu(): Promise<number> {
      return (await all('cpu', () => ({}))).reduce((sum, one) => sum + one, 0)
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(members.map((member) => member.end()))
    },
  }
}

function startMember() {
  const waiting = new Map<number, PromiseWithResolvers<unknown>>()
  let last = 0
  const child = Bun.spawn([process.execPath, MAIN], {
    stdio: ['ignore', 'inherit', 'inherit'],
    ipc({ id, answer, error }: Answer) {
      const found = waiting.get(id)
      waiting.delete(id)
      if (error === undefined) found?.resolve(answer)
      else found?.reject(new Error(error))
    },
    onExit(_, code) {
      for (const one of waiting.values()) one.reject(new Error(`a process of clients ended with ${code}`))
    },
  })
  const ask: Ask = (op, what) => {
    const id = ++last
    const found = Promise.withResolvers<unknown>()
    waiting.set(id, found)
    child.send({ id, op, ask: what })
    const timer = setTimeout(() => found.reject(new Error(`the clients did not get done: ${op}`)), PATIENCE_MS)
    return found.promise.finally(() => clearTimeout(timer)) as Promise<never>
  }
  return {
    ask,
    async end() {
      waiting.clear()
      child.kill()
      await child.exited
    },
  }
}

function merged(outcomes: Outcome[]): Outcome {
  const [first] = outcomes
  return {
    received: outcomes.reduce((sum, { received }) => sum + received, 0),
    endedAt: Math.max(...outcomes.map(({ endedAt }) => endedAt)),
    latencies: outcomes.flatMap(({ latencies }) => latencies),
    lasts: first!.lasts.map((_, index) => Math.max(...outcomes.map(({ lasts }) => lasts[index]!))),
    frameBytes: first!.frameBytes,
  }
}
