import type { Logger } from './logger.ts'
import { counter, histogram } from './meters.ts'
import { traced } from './tracing.ts'

export type Job = {
  name: string
  everyMs: number
  /** When it runs first; at once unless told. */
  firstAfterMs?: number
  /** Ends early, at a place of its own choosing, once `stopping` is aborted. */
  run(stopping: AbortSignal): Promise<void>
}

export type RunningJob = {
  /** Resolves when the first run is over, however it ended, or will not be. */
  first: Promise<void>
  /** Has it run now, or once more after the run that is under way. */
  nudge(): void
  /** Resolves when what is under way is done. */
  stop(): Promise<void>
}

const runs = counter('conntext_job_runs_total', 'Runs of background jobs, by how they ended', ['job', 'outcome'])
const durations = histogram('conntext_job_duration_seconds', 'Time that a run of a background job took', ['job'])

// So that instances that were started together don't stay together.
const JITTER = 0.1

/** Runs a job again and again, never twice at once. A failure is logged, and tried again in its time. */
export function startJob(job: Job, log: Logger): RunningJob {
  const stopping = new AbortController()
  const first = Promise.withResolvers<void>()
  let timer: Timer | undefined
  let running: Promise<void> | undefined
  let isWanted = false
  const attempt = async () => {
    const began = performance.now()
    try {
      await traced(`job ${job.name}`, { kind: 'internal', root: true }, () => job.run(stopping.signal))
      runs.add(1, job.name, 'done')
    } catch (error) {
      runs.add(1, job.name, 'failed')
      log.warn({ err: error, job: job.name }, 'a background job failed; it goes on at its next turn')
    }
    durations.observe((performance.now() - began) / 1000, job.name)
  }
  const turn = () => {
    isWanted = false
    running = attempt().then(() => {
      running = undefined
      first.resolve()
      if (stopping.signal.aborted) return
      timer = setTimeout(turn, isWanted ? 0 : job.everyMs * (1 + JITTER * (Math.random() - 0.5)))
    })
  }
  if (job.firstAfterMs === undefined) turn()
  else timer = setTimeout(turn, job.firstAfterMs)
  return {
    first: first.promise,
    nudge() {
      if (stopping.signal.aborted) return
      isWanted = true
      if (running) return
      clearTimeout(timer)
      turn()
    },
    async stop() {
      stopping.abort()
      clearTimeout(timer)
      await running
      first.resolve()
    },
  }
}
