import { type Communications, messageDeletions, slowModeSends } from '@conntext/db-communications'
import type { Clock, Logger } from '@conntext/kernel'
import { lt } from 'drizzle-orm'
import { dropExpiredUploads } from './uploads/queries.ts'

const HOUR_MS = 60 * 60_000
// The longest slow mode that a channel can have: 21,600 s.
const LONGEST_PAUSE_MS = 6 * HOUR_MS
// Much longer than whoever asked for a deletion goes on asking after it is done.
const DELETIONS_KEPT_MS = 30 * 24 * HOUR_MS

type Dependencies = { db: Communications; clock: Clock; log: Logger }

/** Deletes what nobody asks for any more: at the start, then every hour. */
export class Pruning {
  #timer: Timer | undefined
  #running: Promise<void> = Promise.resolve()

  constructor(private readonly deps: Dependencies) {}

  start(): void {
    this.#timer ??= setInterval(() => this.#run(), HOUR_MS)
    this.#run()
  }

  /** Resolves when what is under way is done. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#timer = undefined
    await this.#running
  }

  #run(): void {
    this.#running = this.#running
      .then(() => this.#prune())
      .catch((error) => this.deps.log.warn({ err: error }, 'old rows could not be pruned; it goes on in an hour'))
  }

  async #prune(): Promise<void> {
    const { db, clock } = this.deps
    const before = (ms: number) => new Date(clock.now().getTime() - ms)
    await dropExpiredUploads(db, clock.now())
    await db.delete(slowModeSends).where(lt(slowModeSends.sentAt, before(LONGEST_PAUSE_MS)))
    await db.delete(messageDeletions).where(lt(messageDeletions.finishedAt, before(DELETIONS_KEPT_MS)))
  }
}
