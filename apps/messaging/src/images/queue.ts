import { isDatabaseAway } from '@conntext/database'
import { media } from '@conntext/db-communications'
import { ObjectStoreUnavailable } from '@conntext/object-store'
import { and, eq, inArray } from 'drizzle-orm'
import { Decoder, DecoderEnded } from './decoder.ts'
import { type ProcessingDeps, processObject } from './processing.ts'
import { claimObject, postponeObject } from './queries.ts'

// What another instance left is found by then.
const IDLE_MS = 5_000
const LATER_MS = 30_000
// What another instance looks into is found by looking; of one's own it is told at once.
const LOOK_MS = 500
// How long whoever needs a picture waits for it before they are told to come back.
const PATIENCE_MS = 10_000

type Dependencies = Omit<ProcessingDeps, 'decoder'>

/**
 * Looks into what has been uploaded, outside of requests: one object after the other. What is still to do stands in the
 * database, so that nothing is forgotten, whoever dies.
 */
export class PictureQueue {
  readonly #decoder: Decoder
  readonly #deps: ProcessingDeps
  #wake = Promise.withResolvers<void>()
  /** Resolves with the next object that has been looked into. */
  #done = Promise.withResolvers<void>()
  #running: Promise<void> | undefined
  #stopped = false

  constructor(deps: Dependencies) {
    this.#decoder = new Decoder(deps.log)
    this.#deps = { ...deps, decoder: this.#decoder }
  }

  start(): void {
    this.#running ??= this.#run()
  }

  /** Resolves when what is being looked into is done. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#wake.resolve()
    await this.#decoder.stop()
    await this.#running
  }

  /** Says that there may be something to do. */
  nudge(): void {
    this.#wake.resolve()
  }

  /** Whether pictures can be decoded here, as far as has been found out. */
  get canDecode(): boolean {
    return !this.#decoder.missing
  }

  /**
   * Resolves when these files of somebody's have been looked into; where they have not after a while, whoever asks has
   * to see for themselves. Ids of nothing are passed over.
   */
  async settled(ownerId: string, ids: string[]): Promise<void> {
    const { db } = this.#deps
    const waiting = and(inArray(media.id, ids), eq(media.ownerId, ownerId), eq(media.state, 'processing'))
    this.nudge()
    const deadline = performance.now() + PATIENCE_MS
    for (;;) {
      // Before the look: what is done after it is told.
      const done = this.#done.promise
      const rows = await db.select({ id: media.id }).from(media).where(waiting).limit(1)
      const left = deadline - performance.now()
      if (rows.length === 0 || left <= 0) return
      await Promise.race([done, Bun.sleep(Math.min(left, LOOK_MS))])
    }
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      this.#wake = Promise.withResolvers()
      const more = await this.#next().catch((error: unknown) => {
        const level = isDatabaseAway(error) || error instanceof ObjectStoreUnavailable ? 'warn' : 'error'
        this.#deps.log[level]({ err: error }, 'what was uploaded could not be looked into; it goes on in a while')
        return false
      })
      if (more || this.#stopped) continue
      await Promise.race([this.#wake.promise, Bun.sleep(IDLE_MS)])
    }
  }

  /** Answers whether there may be more. */
  async #next(): Promise<boolean> {
    const { db, clock } = this.#deps
    const object = await claimObject(db, clock.now())
    if (!object) return false
    try {
      await processObject(this.#deps, object)
      this.#done.resolve()
      this.#done = Promise.withResolvers()
    } catch (error) {
      const now = clock.now()
      // What the decoder breaks on counts against the picture; all else says nothing about it.
      if (error instanceof DecoderEnded && !this.#stopped)
        await postponeObject(db, object.id, { until: now, counted: true })
      else await postponeObject(db, object.id, { until: new Date(now.getTime() + LATER_MS), counted: false })
      throw error
    }
    return true
  }
}
