/** Ends a subscription; nothing is delivered to it afterwards. */
export type Unsubscribe = () => Promise<void>

/**
 * Publish and subscribe between services and gateway instances. Lossy by contract (at most once): what must not be
 * lost is in a database first, and whoever listens can fetch what it missed.
 */
export type Bus = {
  /** Resolves when the bus has taken it; that nobody listens is no error. Fails when the bus is away. */
  publish(subject: string, payload: string): Promise<void>
  /**
   * Publishes, and resolves when every listener of every process has been called: what others remember wrongly they have
   * forgotten by then. A process that doesn't say so in time is not waited for any longer, which is no error. This
   * process's own listeners have been called in any case, also where it fails because the bus is away.
   */
  announce(subject: string, payload: string): Promise<void>
  /**
   * Resolves when what is published from now on is heard. While the bus is away it resolves all the same, after a second
   * at most: nothing is heard then until `onGap` has called back. So listen to gaps first.
   */
  subscribe(subject: string, listener: (payload: string) => void): Promise<Unsubscribe>
  /**
   * Calls back after an interruption, when everything is heard again: messages may have been missed, so caches are to be
   * dropped and what can be fetched is to be compared.
   */
  onGap(listener: () => void): Unsubscribe
  /** Whether messages go through now; throws when they don't. */
  check(): Promise<void>
  close(): Promise<void>
}
