import { createHash } from 'node:crypto'
import type { AuditSqlQuery, AuditSqlResult } from '@conntext/contracts'
import { type Audit, type CheckedSql, checkSql, failureOf, isAuditAway, isSqlRunning, runSql } from '@conntext/db-audit'
import { actorOf, type Caller } from '@conntext/http'
import type { AppError } from '@conntext/kernel'
import { recordAudit, systemAudit } from '../../recorder.ts'
import type { Bounded } from '../bounded.ts'
import { auditAway } from '../errors.ts'
import type { AnalyticsDeps } from '../service.ts'
import { sqlErrors } from './errors.ts'

const DEFAULT_ROWS = 1_000
const LOOK_EVERY_MS = 250

export type SqlDeps = AnalyticsDeps & { running: Bounded }

/**
 * Runs one SELECT over the audit views (decision 0033). It is recorded before anything of the trail is read; one that
 * reaches for more, too. `signal` aborts when nobody waits for the answer any more: the engine then stops.
 * @throws audit.sqlRefused, audit.sqlInvalid, audit.sqlExpensive (422), audit.sqlBusy (429), dependency.away (503)
 */
export async function querySql(
  deps: SqlDeps,
  caller: Caller,
  { sql, limit = DEFAULT_ROWS }: AuditSqlQuery,
  signal: AbortSignal,
): Promise<AuditSqlResult> {
  const { db, audit, sqlSeconds: seconds, nudge } = deps
  const leave = deps.running.enter(caller.userId)
  if (!leave) throw sqlErrors.sqlBusy({ detail: 'Wait until one is done.', retryAfter: 1 })
  let checked: CheckedSql | undefined
  try {
    checked = await answered(checkSql(audit, sql))
    await recordAudit(db, [systemAudit('audit.sqlRun', actorOf(caller), null, named(sql))])
    nudge()
    const answer = await answered(runSql(audit, checked, { limit, seconds, signal }))
    leave()
    return answer
  } catch (error) {
    if (checked) await leaveOnceOver(audit, checked, leave)
    else leave()
    const because = (error as AppError).detail
    if ((error as AppError).code === 'audit.sqlRefused' && because !== undefined) {
      const data = { ...named(sql), because }
      await recordAudit(db, [systemAudit('audit.sqlRefused', actorOf(caller), null, data)])
      nudge()
    }
    throw error
  }
}

/** Whoever goes away and comes back doesn't fill the engine: a statement has its place for as long as it runs. */
async function leaveOnceOver(audit: Audit, checked: CheckedSql, leave: () => void): Promise<void> {
  const isRunning = () => isSqlRunning(audit, checked).catch(() => false)
  if (!(await isRunning())) return leave()
  void (async () => {
    do await Bun.sleep(LOOK_EVERY_MS)
    while (await isRunning())
    leave()
  })()
}

const named = (sql: string) => ({ sql, sha256: createHash('sha256').update(sql).digest('hex') })

const ERRORS = { refused: sqlErrors.sqlRefused, invalid: sqlErrors.sqlInvalid, expensive: sqlErrors.sqlExpensive }

/** What the engine says of the statement itself is for its writer; all else is ours. */
async function answered<T>(asking: Promise<T>): Promise<T> {
  try {
    return await asking
  } catch (error) {
    const failure = failureOf(error)
    if (failure) throw ERRORS[failure.kind]({ detail: failure.message, cause: error })
    throw isAuditAway(error) ? auditAway(error) : error
  }
}
