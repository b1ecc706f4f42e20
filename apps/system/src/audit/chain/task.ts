import { auditTasks, type ServerDetails } from '@conntext/db-server-details'
import { type Logger, newId } from '@conntext/kernel'
import { and, eq, isNull, lt, or, sql } from 'drizzle-orm'
import type { Transaction } from '../../change.ts'

// ClickHouse may take minutes to change rows. No transaction is open meanwhile: each step is recorded before it is done,
// it can be done twice, and whoever comes after one that died goes on with it.

export type TaskName = (typeof auditTasks.$inferSelect)['name']

/** For so long others leave a task alone whose holder says nothing. */
const HELD = sql`now() + interval '1 minute'`
const SAY_EVERY_MS = 15_000

/** A task that this process is at. */
export type Task<S> = {
  /** What comes next; null where nothing is under way. */
  readonly step: S | null
  /**
   * Writes what the body writes together with the step that it answers, which comes next. With `exclusive` not while a
   * backup reads the trail: it must not find gone what it has no record of.
   */
  record(body: (tx: Transaction) => Promise<S | null>, options?: { exclusive: boolean }): Promise<void>
}

/** Somebody else is at it by now, or a backup is. */
class NotNow extends Error {}

/**
 * Is at a task, alone among all instances, and with no transaction open. Where another instance or a backup is at it, it
 * answers undefined: what is under way goes on at the next turn.
 */
export async function atTask<S, T>(
  { db, log }: { db: ServerDetails; log: Logger },
  name: TaskName,
  run: (task: Task<S>) => Promise<T>,
): Promise<T | undefined> {
  const holder = newId()
  const { holder: heldBy, heldUntil } = auditTasks
  const isFree = or(isNull(heldBy), lt(heldUntil, sql`now()`))!
  const taken = { holder, heldUntil: HELD }
  const [row] = await db
    .insert(auditTasks)
    .values({ name, ...taken })
    .onConflictDoUpdate({ target: auditTasks.name, set: taken, setWhere: isFree })
    .returning({ step: auditTasks.step })
  if (!row) return undefined
  const isOurs = and(eq(auditTasks.name, name), eq(heldBy, holder))
  const saying = setInterval(() => {
    const said = db.update(auditTasks).set({ heldUntil: HELD }).where(isOurs)
    said.catch((error: unknown) => log.warn({ err: error, task: name }, 'a task could not be held on to'))
  }, SAY_EVERY_MS)
  saying.unref()
  let step = row.step as S | null
  const task: Task<S> = {
    get step() {
      return step
    },
    async record(body, { exclusive } = { exclusive: false }) {
      step = await db.transaction(async (tx) => {
        if (exclusive) await assertNoBackup(tx, name)
        const next = await body(tx)
        const updated = await tx
          .update(auditTasks)
          .set({ step: next })
          .where(isOurs)
          .returning({ name: auditTasks.name })
        if (updated.length === 0) throw new NotNow()
        return next
      })
    },
  }
  try {
    return await run(task)
  } catch (error) {
    if (error instanceof NotNow) return undefined
    throw error
  } finally {
    clearInterval(saying)
    const left = db.update(auditTasks).set({ holder: null, heldUntil: null }).where(isOurs)
    await left.catch((error: unknown) => log.debug({ err: error, task: name }, 'a task is free again a minute later'))
  }
}

/** A backup has the same lock for as long as it reads. */
async function assertNoBackup(tx: Transaction, name: TaskName): Promise<void> {
  const lock = sql`select pg_try_advisory_xact_lock(hashtextextended(${`audit.${name}`}, 0)) as mine`
  const [{ mine }] = (await tx.execute(lock)) as unknown as [{ mine: boolean }]
  if (!mine) throw new NotNow()
}
