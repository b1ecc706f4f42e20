/** A listener that returns a promise is waited for, where what is told comes in an order. */
export type Listener<T> = (value: T) => unknown

/** Typed listeners by name. A listener that throws or rejects does not keep the others from being called. */
export class Emitter<M extends Record<string, unknown>> {
  readonly #listeners = new Map<keyof M, Set<Listener<never>>>()

  /** Answers how to stop listening. */
  on<K extends keyof M>(name: K, listener: Listener<M[K]>): () => void {
    const all = this.#listeners.get(name) ?? new Set()
    // A wrapper of its own makes one that is given twice two.
    const own: Listener<M[K]> = (value) => listener(value)
    this.#listeners.set(name, all.add(own as Listener<never>))
    return () => all.delete(own as Listener<never>)
  }

  /** Answers what the listeners that need time are still at; undefined when there are none. */
  emit<K extends keyof M>(name: K, value: M[K]): Promise<unknown> | undefined {
    const busy: Promise<unknown>[] = []
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        const result = (listener as Listener<M[K]>)(value)
        if (isThenable(result)) busy.push(Promise.resolve(result).catch(report))
      } catch (error) {
        report(error)
      }
    }
    return busy.length > 0 ? Promise.all(busy) : undefined
  }
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'

/** The way an unhandled error is, without taking the connection down. */
function report(error: unknown): void {
  queueMicrotask(() => {
    throw error
  })
}
