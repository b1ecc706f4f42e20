import type { Logger } from '@conntext/kernel'
import type { Bus } from './bus.ts'
import { Listeners } from './listeners.ts'
import { busMeters } from './meters.ts'

/**
 * The bus where one process serves all. Delivery is synchronous, in the order of subscription: when `publish` has
 * resolved, every listener has been called. A listener that throws is logged and harms nobody else.
 */
export function createMemoryBus(log: Logger): Bus {
  const listeners = new Listeners(log)
  const publish = async (subject: string, payload: string) => {
    busMeters.published(subject)
    listeners.deliver(subject, payload)
  }

  return {
    publish,
    // Everybody has been called when publish resolves.
    announce: publish,
    async subscribe(subject, listener) {
      const end = listeners.add(subject, listener)
      return async () => void end()
    },
    // Nothing comes between a process and itself.
    onGap: () => async () => {},
    async check() {},
    async close() {
      listeners.clear()
    },
  }
}
