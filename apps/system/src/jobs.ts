import type { Logger } from '@conntext/kernel'

export type Job = { name: string; everyMs: number; run(): Promise<void> }

export type RunningJob = {
  /** Resolves when the first run is over, however it ended. */
  first: Promise<void>
  stop(): Promise<void>
}

/** Runs a job now and then again and again, never twice at once. A failure is logged, and tried again in its time. */
export function startJob(job: Job, log: Logger): RunningJob {
  let timer: Timer | undefined
  let stopped = false
  let running: Promise<void> = Promise.resolve()
  const turn = () => {
    running = job
      .run()
      .catch((error: unknown) => log.warn({ err: error, job: job.name }, 'a background job failed'))
      .then(() => {
        if (!stopped) timer = setTimeout(turn, job.everyMs)
      })
  }
  turn()
  return {
    first: running,
    async stop() {
      stopped = true
      clearTimeout(timer)
      await running
    },
  }
}
