import { beginSpan, counter, gauge, histogram } from '@conntext/kernel'
import { isDiskFull } from './errors.ts'

const durations = histogram('conntext_database_statement_seconds', 'Time that statements took, waiting included', [
  'pool',
])
const failures = counter('conntext_database_failures_total', 'Statements that failed, by the class of why', [
  'pool',
  'class',
])
const transactions = histogram(
  'conntext_database_transaction_wait_seconds',
  'Time that transactions waited for a connection',
  ['pool'],
)
const inUse = gauge(
  'conntext_database_pool',
  'Work at a pool: statements under way, transactions open, transactions that wait',
  ['pool', 'state'],
)
const sizes = gauge('conntext_database_pool_size', 'Connections of a pool at most', ['pool'])

/**
 * What is known of a pool. The driver doesn't tell which of its connections are busy, and sends several statements over one:
 * what is under way is counted here, outside of it.
 */
export class PoolMeter {
  #statements = 0
  #open = 0
  #waiting = 0
  #fullAt = Number.NEGATIVE_INFINITY
  readonly #ends: (() => void)[]

  constructor(
    private readonly pool: string,
    size: number,
    private readonly now = () => performance.now(),
  ) {
    this.#ends = [
      inUse.from(() => [
        [this.#statements, pool, 'statements'],
        [this.#open, pool, 'transactions'],
        [this.#waiting, pool, 'waiting'],
      ]),
      sizes.from(() => [[size, pool]]),
    ]
  }

  /** Counts a statement until it is answered. Its text has no values in it: those are its parameters. */
  statement(query: string, answered: PromiseLike<unknown>): void {
    const began = performance.now()
    const span = beginSpan(nameOf(query), {
      kind: 'client',
      attributes: {
        'db.system.name': 'postgresql',
        'db.namespace': this.pool,
        'db.query.text': query.slice(0, MOST_TEXT),
      },
    })
    this.#statements += 1
    const done = (error?: unknown) => {
      this.#statements -= 1
      durations.observe((performance.now() - began) / 1000, this.pool)
      if (error !== undefined) failures.add(1, this.pool, classOf(error))
      if (isDiskFull(error)) this.#fullAt = this.now()
      span?.end(error)
    }
    answered.then(() => done(), done)
  }

  /** Answers what to call once it has its connection, and what once it is over. */
  transaction(): { began(): void; ended(): void } {
    const asked = performance.now()
    let state: 'waiting' | 'open' | 'over' = 'waiting'
    this.#waiting += 1
    return {
      began: () => {
        if (state !== 'waiting') return
        state = 'open'
        this.#waiting -= 1
        this.#open += 1
        transactions.observe((performance.now() - asked) / 1000, this.pool)
      },
      ended: () => {
        if (state === 'waiting') this.#waiting -= 1
        else if (state === 'open') this.#open -= 1
        state = 'over'
      },
    }
  }

  /** Whether a statement was refused within the last minute for want of room on the database's disk. */
  wasFullLately(): boolean {
    return this.now() - this.#fullAt < LATELY_MS
  }

  end(): void {
    for (const end of this.#ends) end()
  }
}

const MOST_TEXT = 2_000
const LATELY_MS = 60_000

/** `select`, `insert`, … */
const nameOf = (query: string): string => /^\s*(\w+)/.exec(query)?.[1]?.toLowerCase() ?? 'statement'

// SQLSTATE's first two characters, or that it never got there.
const classOf = (error: unknown): string => {
  const code = String((error as { code?: unknown } | null)?.code ?? '')
  return /^[0-9A-Z]{5}$/.test(code) ? code.slice(0, 2) : 'connection'
}
