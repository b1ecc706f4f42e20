type Listener<T> = (value: T) => void

/** Typed listeners by name. A listener that throws does not keep the others from being called. */
export class Emitter<M extends Record<string, unknown>> {
  readonly #listeners = new Map<keyof M, Set<Listener<never>>>()

  /** Answers how to stop listening. */
  on<K extends keyof M>(name: K, listener: Listener<M[K]>): () => void {
    const all = this.#listeners.get(name) ?? new Set()
    this.#listeners.set(name, all.add(listener as Listener<never>))
    return () => all.delete(listener as Listener<never>)
  }

  emit<K extends keyof M>(name: K, value: M[K]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        ;(listener as Listener<M[K]>)(value)
      } catch (error) {
        // Reported the way an unhandled rejection is, without taking the connection down.
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }
}
