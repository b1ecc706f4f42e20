import { beginSpan, type Logger, withContext } from '@conntext/kernel'
import { busMeters, kindOf } from './meters.ts'

type Listener = (payload: string) => void

/** Who listens to what within this process. A listener that throws is logged and harms nobody else. */
export class Listeners {
  readonly #of = new Map<string, Set<Listener>>()

  constructor(private readonly log: Logger) {}

  /** Answers how to end it: what it answers then says whether nobody listens to the subject any more. */
  add(subject: string, listener: Listener): () => boolean {
    // A wrapper of its own makes two subscriptions of one function two.
    const own = (payload: string) => listener(payload)
    const all = this.#of.get(subject) ?? new Set()
    this.#of.set(subject, all.add(own))
    return () => {
      if (!all.delete(own) || all.size > 0 || this.#of.get(subject) !== all) return false
      return this.#of.delete(subject)
    }
  }

  /** In the order of subscription; as a part of the trace of whoever published it, where that is known. */
  deliver(subject: string, payload: string, parent?: string): void {
    const all = this.#of.get(subject)
    if (!all) return
    busMeters.received(subject)
    const span = beginSpan(`bus ${kindOf(subject)}`, { kind: 'consumer', parent })
    if (!span) {
      this.#tell(all, subject, payload)
      return
    }
    withContext({ traceparent: span.traceparent }, () => this.#tell(all, subject, payload))
    span.end()
  }

  #tell(all: Set<Listener>, subject: string, payload: string): void {
    for (const listener of [...all]) {
      // Somebody who was called before may have ended it.
      if (!all.has(listener)) continue
      try {
        listener(payload)
      } catch (error) {
        this.log.error({ err: error, subject }, 'a bus listener failed')
      }
    }
  }

  clear(): void {
    for (const all of this.#of.values()) all.clear()
    this.#of.clear()
  }
}
