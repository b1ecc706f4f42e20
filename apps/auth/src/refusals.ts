import { type AuditActor, type AuditEvent, auditFor } from '@conntext/contracts'
import type { Clock, Logger } from '@conntext/kernel'
import { networkOf } from './throttle/network.ts'

const WINDOW_MS = 60_000
const SWEEP_EVERY_MS = 10_000
// What is remembered, and what is recorded in a window, whoever is refused: a flood fills neither memory nor disk.
const MOST_REMEMBERED = 5_000
const MOST_RECORDED = 600

type RefusalData = {
  'access.refused': { permission: string }
  'login.failed': { code: string }
  'registration.refused': { code: string }
}
type Repeats = { repeats?: number }
type Window = { since: number; repeats: number; make(repeats: Repeats): AuditEvent }
type Dependencies = { record(event: AuditEvent): Promise<void>; clock: Clock; log: Logger }

/**
 * Records what was refused, apart from the request and never failing it. The first refusal is recorded at once;
 * identical ones of the same caller within a minute are counted, and make one more record at its end.
 */
export class Refusals {
  readonly #windows = new Map<string, Window>()
  // One after the other: in their order, and never more than one connection's worth.
  #writing: Promise<void> = Promise.resolve()
  #budget = { since: 0, recorded: 0, dropped: 0 }
  #timer: Timer | undefined

  constructor(private readonly deps: Dependencies) {}

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

  note<A extends keyof RefusalData>(action: A, actor: AuditActor, targetId: string | null, data: RefusalData[A]): void {
    const caller = actor.id ?? (actor.address === null ? '' : networkOf(actor.address))
    const key = JSON.stringify([action, caller, targetId, data])
    const make = (repeats: Repeats) => refusalEvent(action, actor, targetId, { ...data, ...repeats })
    const now = this.deps.clock.now().getTime()
    const known = this.#windows.get(key)
    if (known && now - known.since < WINDOW_MS) {
      known.repeats += 1
      known.make = make
      return
    }
    if (known) this.#close(known)
    this.#windows.delete(key)
    if (this.#windows.size >= MOST_REMEMBERED) this.sweep()
    if (this.#windows.size >= MOST_REMEMBERED || !this.#record(make({}))) return
    this.#windows.set(key, { since: now, repeats: 0, make })
  }

  /** Records what was counted in windows that are over. */
  sweep(): void {
    const now = this.deps.clock.now().getTime()
    for (const [key, window] of this.#windows) {
      // In the order of their opening: the first that is still open ends it.
      if (now - window.since < WINDOW_MS) break
      this.#windows.delete(key)
      this.#close(window)
    }
  }

  #close(window: Window): void {
    if (window.repeats > 0) this.#record(window.make({ repeats: window.repeats }))
  }

  #record(event: AuditEvent): boolean {
    if (!this.#spend()) return false
    this.#writing = this.#writing
      .then(() => this.deps.record(event))
      .catch((error) => this.deps.log.error({ err: error, action: event.action }, 'a refusal could not be recorded'))
    return true
  }

  #spend(): boolean {
    const now = this.deps.clock.now().getTime()
    if (now - this.#budget.since >= WINDOW_MS) {
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

const audit = auditFor('auth')

function refusalEvent(
  action: keyof RefusalData,
  actor: AuditActor,
  targetId: string | null,
  data: RefusalData[keyof RefusalData] & Repeats,
): AuditEvent {
  return audit(action, actor, targetId, data as never)
}
