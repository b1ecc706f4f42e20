import { captureContext } from '@conntext/kernel'
import type { Sql, TransactionSql } from 'postgres'
import { isConnectionLost } from './errors.ts'
import type { PoolMeter } from './meters.ts'

type Unsafe = (query: string, parameters?: never[], options?: object) => PromiseLike<unknown>
type Body = (tx: TransactionSql) => Promise<unknown>
type Begin = (...optionsAndBody: unknown[]) => Promise<unknown>

/**
 * Makes the driver fit for drizzle in two ways.
 *
 * drizzle asks postgres.js not to prepare its statements. Its SQL is the same text for each shape of query, so
 * preparing is safe, and doubles the throughput of small queries.
 *
 * When a transaction's connection breaks, postgres.js 3.4 lets its body go on: what follows, its own `rollback` too, is
 * written to a socket that is gone, which ends the process, or to the next connection, outside of any transaction or
 * within somebody else's (https://github.com/porsager/postgres/issues/1208 and 1216). Here it is refused.
 */
export function prepared(client: Sql, meter: PoolMeter): Sql {
  const unsafe = client.unsafe.bind(client) as Unsafe
  const begin = client.begin.bind(client) as Begin
  return Object.assign(client, {
    unsafe: (query: string, parameters?: never[], options?: object) => {
      const statement = unsafe(query, parameters, { ...options, prepare: true })
      meter.statement(query, statement)
      return statement
    },
    begin: async (...args: unknown[]) => {
      const body = args.pop() as Body
      const counted = meter.transaction()
      try {
        return await beginGuarded((guarded) => begin(...args, guarded), body, { meter, began: counted.began })
      } finally {
        counted.ended()
      }
    },
  }) as unknown as Sql
}

/** Runs a body until its connection is lost; then fails at once, and leaves nothing for the driver to clean up with. */
async function beginGuarded(
  begin: (body: Body) => Promise<unknown>,
  body: Body,
  { meter, began }: { meter: PoolMeter; began(): void },
): Promise<unknown> {
  const connection = new TransactionConnection(meter)
  // The driver calls back from wherever the connection came free: the body belongs to whoever began the transaction.
  const within = captureContext()
  const running = begin((tx) => {
    began()
    return within(() => connection.whileThere(body(guard(tx, connection))))
  })
  // Also when it ends as it should: whoever kept the transaction for later can do nothing with it any more.
  running.then(
    () => connection.lose(),
    () => connection.lose(),
  )
  return Promise.race([running, connection.lost])
}

class TransactionConnection {
  readonly lost: Promise<never>
  #reject!: (error: Error) => void
  isLost = false

  constructor(readonly meter: PoolMeter) {
    this.lost = new Promise((_, reject) => {
      this.#reject = reject
    })
    // Most transactions never hear of it.
    this.lost.catch(() => {})
  }

  lose(): void {
    this.isLost = true
    this.#reject(connectionLost())
  }

  /** Settles as the work does, while there is a connection to commit or to roll back on; afterwards never. */
  whileThere(work: Promise<unknown>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      work.then(
        (value) => this.isLost || resolve(value),
        (error) => this.isLost || reject(error),
      )
    })
  }
}

const connectionLost = (): Error =>
  Object.assign(new Error('the connection was lost within a transaction'), { code: 'CONNECTION_CLOSED' })

/** The transaction's client: refuses statements once the connection is lost. */
function guard(tx: TransactionSql, connection: TransactionConnection): TransactionSql {
  const unsafe = tx.unsafe.bind(tx) as unknown as Unsafe
  const savepoint = tx.savepoint.bind(tx) as unknown as (body: Body) => Promise<unknown>
  return Object.assign(tx, {
    unsafe: (query: string, parameters?: never[], options?: object) => {
      if (connection.isLost) throw connectionLost()
      const prepare = parameters !== undefined && parameters.length > 0
      const statement = unsafe(query, parameters, { ...options, prepare })
      connection.meter.statement(query, statement)
      statement.then(undefined, (error) => isConnectionLost(error) && connection.lose())
      return statement
    },
    savepoint: (body: Body) => savepoint((inner) => connection.whileThere(body(guard(inner, connection)))),
  }) as unknown as TransactionSql
}
