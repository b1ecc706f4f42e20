import type { Logger } from '@conntext/kernel'
import { findOrphans, type OrphanDeps } from './orphans.ts'

const FIRST_AFTER_MS = 10 * 60_000
const EVERY_MS = 24 * 60 * 60_000

/** Removes, once a day, what the object store has and nobody knows of. */
export class OrphanSweep {
  #timer: Timer | undefined
  #running: Promise<void> = Promise.resolve()

  constructor(private readonly deps: OrphanDeps & { log: Logger }) {}

  start(): void {
    this.#timer ??= setTimeout(() => {
      this.#run()
      this.#timer = setInterval(() => this.#run(), EVERY_MS)
    }, FIRST_AFTER_MS)
  }

  /** Resolves when what is under way is done. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    clearInterval(this.#timer)
    this.#timer = undefined
    await this.#running
  }

  #run(): void {
    const { log } = this.deps
    this.#running = findOrphans(this.deps, { repair: true })
      .then((found) => {
        if (found.objects + found.uploads > 0) log.info(found, 'removed what nobody knew of from the object store')
      })
      .catch((error: unknown) => log.warn({ err: error }, 'the object store could not be swept; it is tomorrow'))
  }
}
