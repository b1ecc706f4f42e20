import type { Logger } from '@conntext/kernel'
import type { Bus } from './bus.ts'

/**
 * The bus where one process serves all. Delivery is synchronous, in the order of subscription: when `publish` has
 * resolved, every listener has been called. A listener that throws is logged and harms nobody else.
 */
export function createMemoryBus(log: Logger): Bus {
  const listeners = new Map<string, Set<(payload: string) => void>>()

  const publish = async (subject: string, payload: string): Promise<void> => {
    const all = listeners.get(subject)
    for (const listener of [...(all ?? [])]) {
      // Somebody who was called before may have ended it.
      if (!all?.has(listener)) continue
      try {
        listener(payload)
      } catch (error) {
        log.error({ err: error, subject }, 'a bus listener failed')
      }
    }
  }

  return {
    publish,
    // Everybody has been called when publish resolves.
    announce: publish,

    async subscribe(subject, listener) {
      // A wrapper of its own makes two subscriptions of one function two.
      const own = (payload: string) => listener(payload)
      const all = listeners.get(subject) ?? new Set()
      listeners.set(subject, all.add(own))
      return async () => {
        all.delete(own)
        if (all.size === 0 && listeners.get(subject) === all) listeners.delete(subject)
      }
    },

    // Nothing comes between a process and itself.
    onGap: () => async () => {},
    async check() {},
    async close() {
      listeners.clear()
    },
  }
}
