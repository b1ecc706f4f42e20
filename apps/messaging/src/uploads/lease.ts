import { type Communications, mediaUploads } from '@conntext/db-communications'
import type { Clock, Logger } from '@conntext/kernel'
import { and, eq, isNull, lt, or } from 'drizzle-orm'
import { uploadErrors } from './errors.ts'

// Whoever holds an upload when their process dies holds it no longer than this.
const LEASE_MS = 6_000
const RENEW_MS = 1_500
// How long a client that asks where its upload stands waits for what it has sent before.
const LET_GO_MS = 4_000
const LOOK_MS = 50

export type LeaseDeps = { db: Communications; clock: Clock; log: Logger }

/** Who may add to an upload: one at a time, of all instances. */
export class Leases {
  readonly #own = new Map<string, Lease>()

  constructor(private readonly deps: LeaseDeps) {}

  /** @throws upload.locked (423) */
  async take(uploadId: string): Promise<Lease> {
    const { db, clock } = this.deps
    const now = clock.now()
    const lease = crypto.randomUUID()
    const taken = await db
      .update(mediaUploads)
      .set({ lease, leasedUntil: after(now), wanted: false })
      .where(and(eq(mediaUploads.id, uploadId), isFree(now)))
      .returning({ id: mediaUploads.id })
    if (taken.length === 0) throw uploadErrors.locked({ retryAfter: 1 })
    const made: Lease = new Lease(this.deps, uploadId, lease, () => {
      if (this.#own.get(uploadId) === made) this.#own.delete(uploadId)
    })
    this.#own.set(uploadId, made)
    return made
  }

  /**
   * Asks whoever adds to the upload to let go: a client that lost its connection comes back sooner than anybody here
   * notices. Resolves when they have, or when that takes too long.
   */
  async free(uploadId: string): Promise<void> {
    const { db } = this.deps
    this.#own.get(uploadId)?.interrupt()
    const row = and(eq(mediaUploads.id, uploadId), eq(mediaUploads.wanted, false))
    await db.update(mediaUploads).set({ wanted: true }).where(row)
    for (let waited = 0; waited < LET_GO_MS; waited += LOOK_MS) {
      if (await this.#isFree(uploadId)) return
      await Bun.sleep(LOOK_MS)
    }
  }

  async #isFree(uploadId: string): Promise<boolean> {
    const { db, clock } = this.deps
    const free = and(eq(mediaUploads.id, uploadId), isFree(clock.now()))
    return (await db.select({ id: mediaUploads.id }).from(mediaUploads).where(free)).length > 0
  }
}

const after = (now: Date): Date => new Date(now.getTime() + LEASE_MS)

const isFree = (now: Date) => or(isNull(mediaUploads.lease), lt(mediaUploads.leasedUntil, now))

/** The right to add to an upload, renewed until it is given back. */
export class Lease implements AsyncDisposable {
  readonly #lost = new AbortController()
  readonly #timer: Timer
  #renewing: Promise<void> = Promise.resolve()

  constructor(
    private readonly deps: LeaseDeps,
    private readonly uploadId: string,
    private readonly lease: string,
    private readonly onEnd: () => void,
  ) {
    this.#timer = setInterval(() => {
      this.#renewing = this.#renewing.then(() => this.#renew())
    }, RENEW_MS)
  }

  /** Aborts when somebody else is to go on. */
  get signal(): AbortSignal {
    return this.#lost.signal
  }

  interrupt(): void {
    if (!this.#lost.signal.aborted) this.#lost.abort(uploadErrors.locked('Another request goes on with the upload.'))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    await this.#renewing
    this.onEnd()
    await this.deps.db
      .update(mediaUploads)
      .set({ lease: null, leasedUntil: null, wanted: false })
      .where(this.#mine())
      .catch((error: unknown) => this.deps.log.warn({ err: error }, 'an upload was not let go of; it is in a moment'))
  }

  #mine() {
    return and(eq(mediaUploads.id, this.uploadId), eq(mediaUploads.lease, this.lease))
  }

  async #renew(): Promise<void> {
    const { db, clock, log } = this.deps
    try {
      const [held] = await db
        .update(mediaUploads)
        .set({ leasedUntil: after(clock.now()) })
        .where(this.#mine())
        .returning({ wanted: mediaUploads.wanted })
      if (!held || held.wanted) this.interrupt()
    } catch (error) {
      // Whether somebody else holds it by now can't be known.
      log.warn({ err: error }, 'the hold on an upload could not be renewed')
      this.interrupt()
    }
  }
}
