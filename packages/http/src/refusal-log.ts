import { type AuditActor, type AuditEvent, systemActor } from '@conntext/contracts'
import { type Clock, type Logger, withoutContext } from '@conntext/kernel'
import type { Refused } from './access.ts'
import { actorOf } from './caller.ts'
import { isDependencyAway } from './errors.ts'

const WINDOW_MS = 60_000
const SWEEP_EVERY_MS = 10_000
// What is recorded one by one in a window, whoever is refused: so a flood fills neither the disk nor, since only what has
// been recorded is remembered, the memory. Of what is beyond, one record says how much it was.
const MOST_RECORDED = 600
// For as long as the restart of a dependency takes; what then still waits is tried once, so that it doesn't pile up.
const TRIED_FOR_MS = 30_000
const PAUSE_MS = { first: 250, longest: 4_000 }

/** For an event's data: how often what it tells of was repeated. Absent in the first one. */
export type Repeats = { repeats?: number }

type Summed = (
  action: 'refusals.summed',
  actor: AuditActor,
  targetId: null,
  data: { actions: Record<string, number> },
) => AuditEvent

export type RefusalLogDeps = {
  record(event: AuditEvent): Promise<void>
  /** Makes the service's events. */
  audit: Summed
  clock: Clock
  log: Logger
}

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
  #budget = { since: 0, recorded: 0 }
  // By action, what was beyond the budget.
  readonly #beyond = new Map<string, number>()
  #timer: Timer | undefined
  #isStopping = false
  readonly #stopping = Promise.withResolvers<void>()

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
    this.#sum()
    this.#isStopping = true
    this.#stopping.resolve()
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
    this.#renewBudget(now)
  }

  #close({ repeats, make }: Window): void {
    if (repeats > 0) this.#record(make, { repeats })
  }

  #record(make: Window['make'], { repeats }: Repeats): boolean {
    const event = make(repeats === undefined ? {} : { repeats })
    const isWithin = this.#spend()
    if (isWithin) this.#write(event)
    else this.#beyond.set(event.action, (this.#beyond.get(event.action) ?? 0) + (repeats ?? 1))
    return isWithin
  }

  #write(event: AuditEvent): void {
    const until = performance.now() + TRIED_FOR_MS
    this.#writing = this.#writing.then(() => this.#keepTrying(event, until))
  }

  async #keepTrying(event: AuditEvent, until: number): Promise<void> {
    const { record, log } = this.deps
    const about = { action: event.action }
    for (let pause = PAUSE_MS.first; ; pause = Math.min(PAUSE_MS.longest, pause * 2)) {
      try {
        return await record(event)
      } catch (error) {
        if (this.#isStopping || !isDependencyAway(error) || performance.now() > until)
          return log.error({ err: error, ...about }, 'a refusal could not be recorded')
        log.warn({ err: error, ...about }, 'a refusal could not be recorded yet; it is tried again')
        await Promise.race([Bun.sleep(pause), this.#stopping.promise])
      }
    }
  }

  #spend(): boolean {
    this.#renewBudget(this.deps.clock.now().getTime())
    if (this.#budget.recorded >= MOST_RECORDED) return false
    this.#budget.recorded += 1
    return true
  }

  #renewBudget(now: number): void {
    if (!isOver(this.#budget.since, now)) return
    this.#budget = { since: now, recorded: 0 }
    this.#sum()
  }

  /** Records how much was beyond the budget: of no one's doing, and of no request's. */
  #sum(): void {
    if (this.#beyond.size === 0) return
    const actions = Object.fromEntries(this.#beyond)
    this.#beyond.clear()
    this.deps.log.warn({ actions }, 'more was refused than is recorded one by one in a minute')
    withoutContext(() => this.#write(this.deps.audit('refusals.summed', systemActor, null, { actions })))
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
