import { auditFor, type Permission } from '@conntext/contracts'
import { withoutData } from '@conntext/database'
import { type Communications, messagingOutbox } from '@conntext/db-communications'
import { actorOf, type Caller } from '@conntext/http'
import type { Clock, Logger } from '@conntext/kernel'
import { enqueue } from '@conntext/outbox'

const WINDOW_MS = 60_000
const REMEMBERED = 10_000

const audit = auditFor('messaging')

/** Records that a caller was refused; never fails and never waits. */
export type Refused = (caller: Caller, permission: Permission, route: string) => void

export type RefusalsDeps = { db: Communications; clock: Clock; log: Logger; nudge: () => void }

/**
 * The record of refusals: one event a minute for each caller, permission and route, whatever they try. The next one
 * says how often it was repeated meanwhile.
 */
export class Refusals {
  readonly #recent = new Map<string, { since: number; repeats: number }>()
  readonly #underWay = new Set<Promise<void>>()

  constructor(private readonly deps: RefusalsDeps) {}

  readonly record: Refused = (caller, permission, route) => {
    const key = `${caller.userId} ${permission} ${route}`
    const now = this.deps.clock.now().getTime()
    const last = this.#recent.get(key)
    if (last && now - last.since < WINDOW_MS) {
      last.repeats += 1
      return
    }
    this.#remember(key, now)
    const writing = this.#write(caller, permission, route, last?.repeats ?? 0)
    this.#underWay.add(writing)
    writing.finally(() => this.#underWay.delete(writing))
  }

  /** Resolves when all that was recorded is written. */
  async settled(): Promise<void> {
    await Promise.all(this.#underWay)
  }

  #remember(key: string, since: number): void {
    // Moved to the end, so that the first key is the one that was recorded longest ago.
    this.#recent.delete(key)
    this.#recent.set(key, { since, repeats: 0 })
    const oldest = this.#recent.keys().next().value
    if (this.#recent.size > REMEMBERED && oldest !== undefined) this.#recent.delete(oldest)
  }

  async #write(caller: Caller, permission: Permission, route: string, repeats: number): Promise<void> {
    const data = { permission, ...(repeats > 0 ? { repeats } : {}) }
    const event = audit('access.refused', actorOf(caller), route, data)
    try {
      await enqueue(this.deps.db, messagingOutbox, [{ id: event.id, topic: 'audit', payload: event }])
      this.deps.nudge()
    } catch (error) {
      this.deps.log.error({ err: withoutData(error), permission, route }, 'a refusal could not be recorded')
    }
  }
}
