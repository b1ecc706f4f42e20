import { type Executor, isUnstorableText } from '@conntext/database'
import { AppError, answerWithin, counter, gauge, type Logger, traced, validTraceparent } from '@conntext/kernel'
import { and, asc, eq, gt, inArray, isNull, lt, sql } from 'drizzle-orm'
import { Alarm } from './alarm.ts'
import { TRACE } from './enqueue.ts'
import type { OutboxTable } from './tables.ts'

/** Delivers a batch, all or nothing; resolves only when the receiver keeps it for good. Must bear repeats. */
export type Deliver = (batch: { id: string; payload: unknown }[]) => Promise<void>

export type RelayOptions = {
  db: Executor
  table: OutboxTable
  /** Where each topic goes. Topics are independent: one that is stuck does not hold up the others. */
  topics: Record<string, Deliver>
  log: Logger
  /**
   * Topics whose rows, as far as they are still kept, are delivered once more after a start: for receivers that
   * acknowledge before what they keep could survive a power cut. They know repeats by their ids.
   */
  repeatAtStart?: string[]
  batchSize?: number
  /** How long delivered rows are kept, in ms. */
  keepMs?: number
  /** How often they are looked for, in ms. */
  pruneEveryMs?: number
  /** How often the table is looked at, in ms: what another instance wrote and doesn't ship is found by then. */
  idleMs?: number
  /** How long `stop` waits for deliveries, in ms. */
  stopWithinMs?: number
  /** After so many failures in a row it is looked whether single rows are what their receiver fails at. */
  patience?: number
}

/** `due` is still to be delivered, `oldest` since when; `refused` is set aside for an administrator to look at. */
export type OutboxLag = { topic: string; due: number; oldest: string | null; refused: number }

const due = gauge('conntext_outbox_due', 'What a service owes to others', ['outbox', 'topic'])
const refusedRows = gauge('conntext_outbox_refused', 'What was set aside because its receiver refused it', [
  'outbox',
  'topic',
])
const lagSeconds = gauge('conntext_outbox_lag_seconds', 'How long the oldest of what a service owes has waited', [
  'outbox',
  'topic',
])
const shipped = counter('conntext_outbox_shipped_total', 'What was delivered', ['outbox', 'topic'])
const failed = counter('conntext_outbox_failures_total', 'Deliveries that failed, to be tried again', [
  'outbox',
  'topic',
])
// For all who ask within this time, the table is looked at once.
const LAG_FRESH_MS = 2_000
const LAG_WITHIN_MS = 2_000

const RETRY_MS = { first: 100, longest: 30_000 }

/**
 * Ships outbox rows to their receivers, in order per topic, at least once. A receiver that is away is tried again
 * with growing pauses, for ever. A row that the receiver refuses for what it is (a 4xx, or text that no database keeps),
 * or fails at again and again while it takes the others (a 500), is set aside, counted and logged, so that it cannot
 * block the rest. It stays in the table, and is tried again at the next start: a newer receiver may take it.
 */
export class OutboxRelay {
  readonly #options: Required<RelayOptions>
  readonly #loops: Promise<void>[] = []
  readonly #alarms = new Map<string, Alarm>()
  #watching = new Alarm()
  #pruning = new Alarm()
  #running = false
  #ends: (() => void)[] = []
  #looked: { at: number; lag: Promise<OutboxLag[]> } | undefined
  /** In a row, by topic. */
  readonly #failures = new Map<string, number>()

  constructor(options: RelayOptions) {
    const times = { keepMs: 3_600_000, pruneEveryMs: 60_000, idleMs: 2_000, stopWithinMs: 5_000 }
    this.#options = { batchSize: 500, repeatAtStart: [], patience: 10, ...times, ...options }
  }

  start(): void {
    if (this.#running) return
    this.#running = true
    for (const topic of Object.keys(this.#options.topics)) {
      const alarm = new Alarm()
      this.#alarms.set(topic, alarm)
      this.#loops.push(this.#loop(topic, alarm))
    }
    this.#ends = this.#measured()
    this.#watching = new Alarm()
    this.#pruning = new Alarm()
    this.#loops.push(this.#watch(this.#watching), this.#pruneLoop(this.#pruning))
  }

  /** Says that there may be something to ship; call it after the commit. */
  nudge(): void {
    for (const alarm of this.#alarms.values()) alarm.ring()
  }

  #measured(): (() => void)[] {
    const { table, topics } = this.#options
    const name = tableName(table)
    const look = (read: (lag: OutboxLag) => number) => async () => {
      if (!this.#looked || performance.now() - this.#looked.at > LAG_FRESH_MS) {
        const lag = answerWithin(LAG_WITHIN_MS, () => this.lag())
        lag.catch(() => {})
        this.#looked = { at: performance.now(), lag }
      }
      const found = new Map((await this.#looked.lag).map((lag) => [lag.topic, lag]))
      return Object.keys(topics).map((topic): [number, string, string] => {
        const lag = found.get(topic)
        return [lag ? read(lag) : 0, name, topic]
      })
    }
    const age = ({ oldest }: OutboxLag) => (oldest === null ? 0 : Math.max(0, (Date.now() - Date.parse(oldest)) / 1000))
    return [due.from(look((lag) => lag.due)), refusedRows.from(look((lag) => lag.refused)), lagSeconds.from(look(age))]
  }

  /** What is still owed, by topic. */
  async lag(): Promise<OutboxLag[]> {
    const { db, table } = this.#options
    const due = sql`filter (where ${table.refusals} = 0)`
    const rows = await db
      .select({
        topic: table.topic,
        due: sql`count(*) ${due}`.mapWith(Number),
        oldest: sql<string | null>`min(${table.createdAt}) ${due}`,
        refused: sql`count(*) filter (where ${table.refusals} > 0)`.mapWith(Number),
      })
      .from(table)
      .where(isNull(table.deliveredAt))
      .groupBy(table.topic)
    return rows
  }

  /**
   * Ends the loops; with `flush`, after one last try to ship what is there. In bounded time: what a receiver that hangs
   * was to get stays in the table, and is shipped at the next start.
   */
  async stop({ flush = false } = {}): Promise<void> {
    const { stopWithinMs, log } = this.#options
    this.#running = false
    for (const end of this.#ends.splice(0)) end()
    for (const alarm of [...this.#alarms.values(), this.#watching, this.#pruning]) alarm.end()
    await answerWithin(stopWithinMs, () => this.#finish(flush)).catch((error: unknown) =>
      log.warn({ err: error }, 'the outbox could not be stopped in time; it goes on at the next start'),
    )
  }

  async #finish(flush: boolean): Promise<void> {
    await Promise.all(this.#loops.splice(0))
    if (!flush) return
    const ship = (topic: string) =>
      this.#drain(topic, () => true).catch((error: unknown) =>
        this.#options.log.warn({ err: error, topic }, 'the outbox could not be flushed; it goes on at the next start'),
      )
    await Promise.all(Object.keys(this.#options.topics).map(ship))
  }

  async #loop(topic: string, alarm: Alarm): Promise<void> {
    let isFirst = true
    while (this.#running) {
      try {
        if (isFirst) await this.#owe(topic)
        isFirst = false
        await this.#drain(topic, () => this.#running)
        await alarm.sleep()
      } catch (error) {
        const failures = (this.#failures.get(topic) ?? 0) + 1
        this.#failures.set(topic, failures)
        failed.add(1, tableName(this.#options.table), topic)
        this.#options.log.warn({ err: error, topic, failures }, 'outbox delivery failed; it will be tried again')
        const pause = Math.min(RETRY_MS.longest, RETRY_MS.first * 2 ** Math.min(failures, 10))
        // A nudge does not cut this pause short: the receiver is given its time.
        await alarm.sleep(pause * (0.5 + Math.random() / 2), { deaf: true })
      }
    }
  }

  /** Rings for topics of which something is due that nobody told this instance about. */
  async #watch(alarm: Alarm): Promise<void> {
    while (this.#running) {
      await alarm.sleep(this.#options.idleMs)
      if (!this.#running) return
      // Whoever can't look here has each topic look by itself, which fails as well, is counted, and tried again.
      const topics = await this.#dueTopics().catch(() => this.#alarms.keys())
      for (const topic of topics) this.#alarms.get(topic)?.ring()
    }
  }

  /** One small statement for all topics: it is all that a server does here while nothing happens. */
  async #dueTopics(): Promise<string[]> {
    const { db, table, topics } = this.#options
    const due = and(sql`${table.topic} = asked.topic`, isNull(table.deliveredAt), eq(table.refusals, 0))
    const asked = sql`json_array_elements_text(${JSON.stringify(Object.keys(topics))}::text::json) as asked (topic)`
    const rows = await db.execute(sql`select topic from ${asked} where exists (select from ${table} where ${due})`)
    return (rows as unknown as { topic: string }[]).map((row) => row.topic)
  }

  /** Makes due again what was set aside, and what was delivered, where the topic asks for it, as far as it is kept. */
  async #owe(topic: string): Promise<void> {
    const { db, table, keepMs, repeatAtStart } = this.#options
    await db
      .update(table)
      .set({ refusals: 0 })
      .where(and(eq(table.topic, topic), isNull(table.deliveredAt), gt(table.refusals, 0)))
    if (!repeatAtStart.includes(topic)) return
    const since = new Date(Date.now() - keepMs).toISOString()
    await db
      .update(table)
      .set({ deliveredAt: null })
      .where(and(eq(table.topic, topic), gt(table.deliveredAt, since)))
  }

  /** Ships batch after batch, until the topic is empty or it may not go on. */
  async #drain(topic: string, mayGoOn: () => boolean): Promise<void> {
    while ((await this.#shipBatch(topic)) && mayGoOn());
  }

  /** Ships one batch in a transaction that holds the topic's lock, so that two instances never overtake each other. */
  #shipBatch(topic: string): Promise<boolean> {
    const { db, table, batchSize } = this.#options
    return db.transaction(async (tx) => {
      const lock = sql`select pg_try_advisory_xact_lock(hashtextextended(${`${tableName(table)}:${topic}`}, 0)) as held`
      const [{ held } = { held: false }] = (await tx.execute(lock)) as unknown as { held: boolean }[]
      if (!held) return false
      const rows = await tx
        .select({ position: table.position, id: table.id, payload: table.payload })
        .from(table)
        .where(and(eq(table.topic, topic), isNull(table.deliveredAt), eq(table.refusals, 0)))
        .orderBy(asc(table.position))
        .limit(batchSize)
      if (rows.length === 0) return false
      const refused = await this.#deliver(topic, rows)
      const delivered = rows.filter((row) => !refused.has(row.position)).map((row) => row.position)
      if (delivered.length > 0) {
        shipped.add(delivered.length, tableName(table), topic)
        await tx.update(table).set({ deliveredAt: sql`now()` }).where(inArray(table.position, delivered))
      }
      for (const [position, reason] of refused) {
        await tx.update(table).set({ refusals: 1, refusedWith: reason }).where(eq(table.position, position))
      }
      return rows.length === batchSize
    })
  }

  /**
   * Delivers the rows, in their order; where the receiver refuses a batch for what it is, in halves, down to single rows.
   * Answers what was refused.
   */
  async #deliver(topic: string, rows: Row[]): Promise<Map<number, string>> {
    const { topics, patience, log } = this.#options
    const deliver = tracedDelivery(topic, topics[topic]!)
    const isImpatient = (this.#failures.get(topic) ?? 0) >= patience
    const refused = new Map<Row, unknown>()
    let delivered = 0
    let failure: unknown
    const ship = async (part: Row[]): Promise<void> => {
      try {
        await deliver(part)
        delivered += part.length
      } catch (error) {
        const isFault = isImpatient && isInternal(error)
        if (!isRefusal(error) && !isFault) throw error
        if (part.length > 1) {
          const half = part.length >> 1
          await ship(part.slice(0, half))
          return ship(part.slice(half))
        }
        if (isFault) failure = error
        refused.set(part[0]!, error)
      }
    }
    await ship(rows)
    // Nothing tells that it is the row's fault and not the receiver's.
    if (failure !== undefined && delivered === 0) throw failure
    this.#failures.delete(topic)
    for (const [{ id }, error] of refused)
      log.error({ err: error, topic, id }, 'an outbox row was refused and is set aside')
    return new Map([...refused].map(([{ position }, error]) => [position, reasonOf(error)]))
  }

  async #pruneLoop(alarm: Alarm): Promise<void> {
    const { db, table, keepMs, pruneEveryMs, log } = this.#options
    while (this.#running) {
      await alarm.sleep(pruneEveryMs)
      if (!this.#running) return
      const before = new Date(Date.now() - keepMs).toISOString()
      await db
        .delete(table)
        .where(lt(table.deliveredAt, before))
        .catch((error) => log.warn({ err: error }, 'delivered outbox rows could not be pruned'))
    }
  }
}

type Row = { position: number; id: string; payload: unknown }

const reasonOf = (error: unknown): string => (error instanceof AppError ? error.code : 'unstorable')

const isInternal = (error: unknown): boolean => error instanceof AppError && error.status === 500

// Text that no database keeps is none at the next try either.
const isRefusal = (error: unknown): boolean =>
  error instanceof AppError
    ? error.status >= 400 && error.status < 500 && error.status !== 429
    : isUnstorableText(error)

/** As a part of the trace that the first row comes from, where it says so; what says so is not of the payload. */
const tracedDelivery =
  (topic: string, deliver: Deliver): Deliver =>
  (batch) => {
    let parent: string | undefined
    const clean = batch.map((row) => {
      if (typeof row.payload !== 'object' || row.payload === null || !(TRACE in row.payload)) return row
      const { [TRACE]: traceparent, ...payload } = row.payload as Record<string, unknown>
      parent ??= validTraceparent(String(traceparent))
      return { ...row, payload }
    })
    const options = { kind: 'producer' as const, parent, attributes: { 'messaging.batch.message_count': batch.length } }
    return traced(`outbox ${topic}`, options, () => deliver(clean))
  }

const tableName = (table: OutboxTable): string =>
  (table as unknown as Record<symbol, string>)[Symbol.for('drizzle:Name')]!
