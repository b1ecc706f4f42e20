import { availableParallelism } from 'node:os'
import { type Logger, silentLogger } from '@conntext/kernel'
import { createWorker } from 'mediasoup'
import type { Worker, WorkerSettings } from 'mediasoup/types'
import type { WorkerGetter } from './getter.ts'
import { locateWorker, remedy, type WorkerLocation } from './locate.ts'
import { isRunnableWorker } from './probe.ts'
import { keepPulse } from './pulse.ts'

export interface SupervisorOptions {
  /** How many workers; by default one a core. */
  count?: number
  settings?: Omit<WorkerSettings, 'workerBin'>
  locate?: () => Promise<WorkerLocation>
  /** Gets a binary that is missing, unless one is named. */
  getter?: WorkerGetter | undefined
  /** How often to look again for a binary that was missing. */
  recheckMs?: number
  /** The wait before the first restart; it doubles up to the longest with each death that follows soon. */
  firstBackoffMs?: number
  longestBackoffMs?: number
  /** How often workers are asked whether they still answer; 5,000. */
  pulseMs?: number
  logger?: Logger
}

export interface SupervisorStatus {
  /**
   * `off`: stopped, or no binary (then with a reason). `starting`: with a reason while the binary is being got.
   * `degraded`: fewer workers than wanted.
   */
  state: 'off' | 'starting' | 'on' | 'degraded'
  reason?: string
  remedy?: string
  workers: { pid: number; startedAt: string; restarts: number }[]
}

export type WorkerChange = { kind: 'up' | 'down'; worker: Worker }

/** Keeps the mediasoup workers of this process running. */
export interface WorkerSupervisor {
  /** Resolves once every worker is up or had its first failure. Never rejects. */
  start(): Promise<void>
  /** Ends all workers and waits until they are gone. */
  stop(): Promise<void>
  status(): SupervisorStatus
  /** The workers that are up. */
  workers(): Worker[]
  /** Tells of workers that came up or went down; answers how to unsubscribe. */
  subscribe(listener: (change: WorkerChange) => void): () => void
}

interface Fault {
  reason: string
  remedy?: string
  /** No retry helps before somebody provides a binary. */
  missing: boolean
}

/** One worker's place; the worker in it changes when it dies. */
interface Slot {
  worker?: Worker
  startedAt: number
  restarts: number
  /** Deaths and failed starts in a row. */
  failures: number
  fault?: Fault
  timer?: ReturnType<typeof setTimeout>
  launching?: Promise<void>
}

/** A worker that lived this long was healthy: its next restart is quick again. */
const healthyMs = 60_000
const closingMs = 2000

export function createWorkerSupervisor(options: SupervisorOptions = {}): WorkerSupervisor {
  const { locate = locateWorker, recheckMs = 30_000, logger = silentLogger, getter } = options
  const { firstBackoffMs = 100, longestBackoffMs = 30_000 } = options
  const count = options.count ?? availableParallelism()
  const listeners = new Set<(change: WorkerChange) => void>()
  let slots: Slot[] = []

  const isCurrent = (slot: Slot) => slots.includes(slot)
  const tell = (change: WorkerChange) => {
    for (const listener of listeners) {
      try {
        listener(change)
      } catch (error) {
        logger.error({ error: String(error) }, 'a listener to worker changes threw')
      }
    }
  }

  /** Never rejects: whatever goes wrong becomes the slot's fault and another attempt. */
  async function launch(slot: Slot): Promise<void> {
    try {
      const path = await findBinary(locate, getter)
      const worker = await createWorker({
        ...options.settings,
        workerBin: path,
        appData: { place: slots.indexOf(slot) },
      })
      leaveSignalsAlone(worker)
      if (isCurrent(slot)) adopt(slot, worker)
      else await end(worker)
    } catch (error) {
      if (!isCurrent(slot)) return
      const fault = error instanceof BinaryMissing ? error.fault : { reason: String(error), missing: false }
      if (slot.fault?.reason !== fault.reason) logger.warn({ reason: fault.reason }, 'no mediasoup worker')
      slot.fault = fault
      schedule(slot, fault.missing ? recheckMs : backoff(slot))
    }
  }

  function adopt(slot: Slot, worker: Worker): void {
    slot.worker = worker
    slot.startedAt = Date.now()
    delete slot.fault
    worker.once('died', (error) => bury(slot, worker, error))
    keepPulse(worker, logger, options.pulseMs)
    logger.info({ pid: worker.pid, restarts: slot.restarts }, 'a mediasoup worker is up')
    tell({ kind: 'up', worker })
  }

  function bury(slot: Slot, worker: Worker, error: Error): void {
    if (Date.now() - slot.startedAt > healthyMs) slot.failures = 0
    delete slot.worker
    logger.error({ pid: worker.pid, error: error.message }, 'a mediasoup worker died')
    tell({ kind: 'down', worker })
    if (!isCurrent(slot)) return
    slot.restarts += 1
    slot.fault = { reason: `a worker died: ${error.message}`, missing: false }
    schedule(slot, backoff(slot))
  }

  function backoff(slot: Slot): number {
    const delay = Math.min(firstBackoffMs * 2 ** slot.failures, longestBackoffMs)
    slot.failures += 1
    return delay
  }

  function schedule(slot: Slot, delayMs: number): void {
    slot.timer = setTimeout(() => {
      slot.launching = launch(slot)
    }, delayMs)
    slot.timer.unref()
  }

  return {
    async start() {
      if (slots.length > 0) return
      slots = Array.from({ length: count }, () => ({ startedAt: 0, restarts: 0, failures: 0 }))
      for (const slot of slots) slot.launching = launch(slot)
      await Promise.all(slots.map((slot) => slot.launching))
    },
    async stop() {
      const ending = slots
      slots = []
      await getter?.stop()
      for (const slot of ending) clearTimeout(slot.timer)
      await Promise.all(ending.map((slot) => slot.launching))
      await Promise.all(ending.map(async ({ worker }) => worker && (await end(worker))))
    },
    status: () => describe(slots, getter?.words()),
    workers: () => slots.flatMap(({ worker }) => worker ?? []),
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

class BinaryMissing extends Error {
  readonly fault: Fault
  constructor(reason: string, remedy: string) {
    super(reason)
    this.fault = { reason, remedy, missing: true }
  }
}

async function findBinary(locate: () => Promise<WorkerLocation>, getter?: WorkerGetter): Promise<string> {
  let location = await locate()
  if (location.kind === 'missing' && !location.isNamed && getter) {
    const failure = await getter.get()
    location = await locate()
    if (location.kind === 'missing' && failure) throw new BinaryMissing(failure.reason, failure.remedy)
  }
  if (location.kind === 'missing') throw new BinaryMissing(location.reason, location.remedy)
  if (await isRunnableWorker(location.path)) return location.path
  throw new BinaryMissing(`${location.path} does not run on this machine`, remedy)
}

/**
 * Takes off the signal handlers that mediasoup gives each worker: they close it at once, before calls could be
 * drained, keep the process from ending on its own, and stay behind when the worker dies.
 */
function leaveSignalsAlone(worker: Worker): void {
  const { onSignal } = worker as unknown as { onSignal?: NodeJS.SignalsListener }
  if (!onSignal) return
  process.off('SIGINT', onSignal)
  process.off('SIGTERM', onSignal)
}

/** Closes a worker and waits for its process to go, by force when it takes too long. */
async function end(worker: Worker): Promise<void> {
  if (worker.died) return
  const gone = new Promise<true>((resolve) => worker.once('subprocessclose', () => resolve(true)))
  worker.close()
  if (worker.subprocessClosed || (await Promise.race([gone, Bun.sleep(closingMs)]))) return
  try {
    process.kill(worker.pid, 'SIGKILL')
  } catch {
    // It went in between.
  }
  await Promise.race([gone, Bun.sleep(closingMs)])
}

function describe(slots: Slot[], getting: string | undefined): SupervisorStatus {
  const workers = slots.flatMap(({ worker, startedAt, restarts }) =>
    worker ? [{ pid: worker.pid, startedAt: new Date(startedAt).toISOString(), restarts }] : [],
  )
  const fault = slots.find((slot) => slot.fault)?.fault
  const state = stateOf(slots, workers.length, fault)
  // Whatever was wrong before, it is being mended.
  if (getting !== undefined && workers.length === 0 && slots.length > 0)
    return { state: 'starting', reason: getting, workers }
  const why = fault && { reason: fault.reason, ...(fault.remedy && { remedy: fault.remedy }) }
  return { state, ...why, workers }
}

function stateOf(slots: Slot[], up: number, fault: Fault | undefined): SupervisorStatus['state'] {
  if (slots.length === 0) return 'off'
  if (up === slots.length) return 'on'
  if (!fault) return 'starting'
  return up === 0 && fault.missing ? 'off' : 'degraded'
}
