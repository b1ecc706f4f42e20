import {
  type AuditCategory,
  type AuditRetention,
  type AuditRetentionUpdate,
  auditCategories,
  auditCategoryNames,
  changedFields,
} from '@conntext/contracts'
import { auditRetention, type ServerDetails, type ServerDetailsExecutor } from '@conntext/db-server-details'
import { actorOf, type Caller } from '@conntext/http'
import { sql } from 'drizzle-orm'
import { recordAudit, systemAudit } from '../../recorder.ts'
import { type CutStep, cutEvents, finishCut } from '../chain/retention.ts'
import { atTask } from '../chain/task.ts'
import type { ChainDeps } from '../ingest.ts'
import { actionsOf, filtersOf } from './categories.ts'
import { retentionErrors } from './errors.ts'

export type RetentionDeps = { db: ServerDetails; nudge(): void }

const DAY_MS = 86_400_000

async function readPolicy(db: ServerDetailsExecutor): Promise<AuditRetentionUpdate> {
  const rows = await db.select().from(auditRetention)
  const days = new Map(rows.map((row) => [row.category, row.days]))
  return Object.fromEntries(auditCategoryNames.map((name) => [name, days.get(name) ?? null])) as AuditRetentionUpdate
}

const toRetention = (policy: AuditRetentionUpdate): AuditRetention => ({
  categories: auditCategoryNames.map((name) => ({
    name,
    ...auditCategories[name],
    days: policy[name],
    actions: actionsOf[name],
  })),
})

/** For how long events are kept, by category. */
export const getRetention = async ({ db }: RetentionDeps): Promise<AuditRetention> => toRetention(await readPolicy(db))

/** @throws audit.retentionTooShort (422) */
export async function setRetention(
  { db, nudge }: RetentionDeps,
  caller: Caller,
  update: AuditRetentionUpdate,
): Promise<AuditRetention> {
  const short = auditCategoryNames.filter((name) => (update[name] ?? Infinity) < auditCategories[name].minimumDays)
  if (short.length > 0) {
    throw retentionErrors.retentionTooShort({
      errors: short.map((name) => ({
        path: `/body/${name}`,
        message: `must be at least ${auditCategories[name].minimumDays} days`,
      })),
    })
  }
  await db.transaction(async (tx) => {
    // What is told of as before must be what was replaced.
    await tx.execute(sql`lock table audit_retention in share row exclusive mode`)
    const changed = changedFields(await readPolicy(tx), update)
    if (!changed) return
    await tx.delete(auditRetention)
    const kept = auditCategoryNames.flatMap((category) => {
      const days = update[category]
      return days === null ? [] : [{ category, days }]
    })
    if (kept.length > 0) await tx.insert(auditRetention).values(kept)
    await recordAudit(tx, [systemAudit('audit.retentionChanged', actorOf(caller), null, changed)])
  })
  nudge()
  return toRetention(update)
}

/**
 * Removes what is kept no longer, through the chain, which knows its own cuts from tampering. One instance at a time; the
 * others go by. What was interrupted is finished first, by the policy that it was begun by: it is signed already. Answers
 * how many events are gone.
 */
export async function cutExpired(deps: ChainDeps): Promise<number> {
  const cut = await atTask<CutStep, number>(deps, 'retention', async (task) => {
    let { events } = await finishCut(deps, task)
    for (const [category, days] of Object.entries(await readPolicy(deps.db)) as [AuditCategory, number | null][]) {
      if (days === null) continue
      const before = new Date(deps.clock.now().getTime() - days * DAY_MS)
      for (const filter of filtersOf(category)) {
        events += (await cutEvents(deps, task, { before, filter, category })).events
      }
    }
    return events
  })
  return cut ?? 0
}
