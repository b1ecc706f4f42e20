import type { ProcessExit } from './bound-process.ts'

/** What `startPostgres` and `startClickHouse` return has this. */
export interface Service {
  readonly port: number
  readonly exited: Promise<ProcessExit>
  stop(): Promise<void>
}

export interface SuperviseOptions {
  /** For the log. */
  name: string
  log?: (line: string) => void
  /** Pause before the first restart, in ms; doubles with each that follows soon after, up to `maxDelayMs`. */
  firstDelayMs?: number
  maxDelayMs?: number
}

export interface Supervised<T extends Service> {
  /** The latest instance; after a restart it is another one, on the same port. */
  current(): T
  /** How often it ended by itself so far. */
  failures(): number
  /** Ends it for good. Repeatable. */
  stop(): Promise<void>
}

/** A service that ran this long isn't in a crash loop: its next restart comes quickly again. */
const settledMs = 60_000

/**
 * Starts a service and starts it again whenever it ends by itself, on the port that it had, so that clients need only
 * reconnect. A first start that fails throws; later ones are tried again for ever, with growing pauses.
 */
export async function supervise<T extends Service>(
  start: (port: number | undefined) => Promise<T>,
  options: SuperviseOptions,
): Promise<Supervised<T>> {
  const { name, log = () => {}, firstDelayMs = 100, maxDelayMs = 30_000 } = options
  const stopped = Promise.withResolvers<void>()
  let stopping = false
  let failures = 0
  let service = await start(undefined)
  const { port } = service

  const restart = async () => {
    let delay = firstDelayMs
    for (let startedAt = Date.now(); ; ) {
      const { code, signal } = await service.exited
      if (stopping) return
      failures++
      if (Date.now() - startedAt > settledMs) delay = firstDelayMs
      log(`${name} ended by itself (${signal ?? code}); starting it again in ${delay} ms`)
      for (;;) {
        await Promise.race([Bun.sleep(delay), stopped.promise])
        delay = Math.min(delay * 2, maxDelayMs)
        if (stopping) return
        startedAt = Date.now()
        const started = await start(port).catch((error: Error) => {
          log(`${name} can't be started again: ${error.message}`)
          return undefined
        })
        if (!started) continue
        service = started
        break
      }
      if (stopping) await service.stop()
    }
  }
  const finished = restart()
  return {
    current: () => service,
    failures: () => failures,
    async stop() {
      stopping = true
      stopped.resolve()
      await service.stop()
      await finished
    },
  }
}
