import type { AuditActor, AuditEvent } from '@conntext/contracts'
import type { Clock, Logger } from '@conntext/kernel'
import type { Refused } from './access.ts'
import { actorOf } from './caller.ts'

const WINDOW_MS = 60_000
const SWEEP_EVERY_MS = 10_000
// What is recorded in a window, whoever is refused: so a flood fills neither the disk nor, since only what has been
// recorded is remembered, the memory.
const MOST_RECORDED = 600

/** For an event's data: how often what it tells of was repeated. Absent in the first one. */
export type Repeats = { repeats?: number }

export type RefusalLogDeps = { record(event: AuditEvent): Promise<void>; clock: Clock; log: Logger }

type Window = { since: number; repeats: number; make(repeats: Repeats): AuditEvent }

// A clock that was set back must not keep a window open until it has caught up.
const isOver = (since: number, now: number): boolean => Math.abs(now - since) >= WINDOW_MS

/**
 * Records what was refused, apart from the request and never failing it. The first refusal of a key is recorded at
 * once; those that follow within a minute are counted, and make one more record at its end.
 */
export class RefusalLog {
  readonly #windows = new Map<string, Window>()
  // One after the other: in their order, and never more than one connection's worth.
  #writing: Promise<void> = Promise.resolve()
  #budget = { since: 0, recorded: 0, dropped: 0 }
  #timer: Timer | undefined

  constructor(private readonly deps: RefusalLogDeps) {}

  start(): void {
    this.#timer ??= setInterval(() => this.sweep(), SWEEP_EVERY_MS)
  }

  /** Records what has been counted so far; resolves when all is written. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#timer = undefined
    for (const window of this.#windows.values()) this.#close(window)
    this.#windows.clear()
    await this.#writing
  }

  /** Notes a refusal; `key` says which ones are the same, `make` makes the event as it is to be recorded. */
  note(key: string, make: (repeats: Repeats) => AuditEvent): void {
    const now = this.deps.clock.now().getTime()
    const known = this.#windows.get(key)
    if (known && !isOver(known.since, now)) {
      known.repeats += 1
      known.make = make
      return
    }
    if (known) this.#close(known)
    this.#windows.delete(key)
    if (this.#record(make, {})) this.#windows.set(key, { since: now, repeats: 0, make })
  }

  /** Records what was counted in windows that are over. */
  sweep(): void {
    const now = this.deps.clock.now().getTime()
    for (const [key, window] of this.#windows) {
      // In the order of their opening: the first that is still open ends it.
      if (!isOver(window.since, now)) break
      this.#windows.delete(key)
      this.#close(window)
    }
  }

  #close({ repeats, make }: Window): void {
    if (repeats > 0) this.#record(make, { repeats })
  }

  #record(make: Window['make'], repeats: Repeats): boolean {
    if (!this.#spend()) return false
    const event = make(repeats)
    this.#writing = this.#writing
      .then(() => this.deps.record(event))
      .catch((error: unknown) =>
        this.deps.log.error({ err: error, action: event.action }, 'a refusal could not be recorded'),
      )
    return true
  }

  #spend(): boolean {
    const now = this.deps.clock.now().getTime()
    if (isOver(this.#budget.since, now)) {
      const { dropped } = this.#budget
      if (dropped > 0) this.deps.log.warn({ dropped }, 'more was refused than is recorded in a minute')
      this.#budget = { since: now, recorded: 0, dropped: 0 }
    }
    if (this.#budget.recorded >= MOST_RECORDED) {
      this.#budget.dropped += 1
      return false
    }
    this.#budget.recorded += 1
    return true
  }
}

type AccessRefused = (
  action: 'access.refused',
  actor: AuditActor,
  route: string,
  data: { permission: string } & Repeats,
) => AuditEvent

/** Notes who lacked which permission for what; `audit` makes the service's events. */
export const noteAccess =
  (refusals: RefusalLog, audit: AccessRefused): Refused =>
  (caller, permission, route) =>
    refusals.note(JSON.stringify(['access.refused', caller.userId, route, permission]), (repeats) =>
      audit('access.refused', actorOf(caller), route, { permission, ...repeats }),
    )
