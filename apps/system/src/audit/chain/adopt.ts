import { systemActor } from '@conntext/contracts'
import { type ChainedRow, chainedIds, type EventRow, selectUnchained } from '@conntext/db-audit'
import { auditLog } from '@conntext/db-server-details'
import { recordAudit, systemAudit } from '../../recorder.ts'
import { fromAudit } from '../errors.ts'
import type { ChainDeps } from '../ingest.ts'
import { splitData, toEvent } from '../rows.ts'
import { appendBatch, readTip } from './append.ts'
import { lockChain, readState } from './queries.ts'
import { deliver, settle } from './settle.ts'

const AT_ONCE = 1_000

/**
 * Takes the events from before the chain into it, once in a server's life: they are inserted anew, in batches that say
 * that nothing protected them until then, and the rows without a place are removed. It may be interrupted anywhere; what
 * comes in later without a place was not put there by us, and is left for verification to find.
 */
export async function adoptRows(deps: ChainDeps): Promise<void> {
  let after: { occurredAt: Date; id: string } | undefined
  for (;;) {
    const last = await adoptSome(deps, after)
    if (last === undefined) return
    after = { occurredAt: new Date(last.occurred_at), id: last.id }
  }
}

/** Answers the last of the rows that it looked at; undefined where there are no more. */
async function adoptSome(
  deps: ChainDeps,
  after: Parameters<typeof selectUnchained>[1],
): Promise<ChainedRow | undefined> {
  const { db, audit } = deps
  const { last, made } = await db.transaction(async (tx) => {
    await lockChain(tx)
    const state = await readState(tx)
    if (state.isAdopted) return {}
    await settle(deps, state.logId, state.unsettled)
    const found = await fromAudit(selectUnchained(audit, after, AT_ONCE))
    const last = found.at(-1)
    if (!last) {
      const events = after ? await removeUnchained(deps) : 0
      await tx.update(auditLog).set({ adoptedAt: deps.clock.now() })
      if (events > 0) await recordAudit(tx, [systemAudit('audit.adopted', systemActor, null, { events })])
      return {}
    }
    const rows = await notYetChained(deps, found)
    if (rows.length === 0) return { last }
    const { batch } = await appendBatch(tx, deps, { state, tip: await readTip(tx), kind: 'adopted', rows })
    return { last, made: { logId: state.logId, batch } }
  })
  if (made) await deliver(deps, made.logId, made.batch)
  return last
}

async function notYetChained({ audit }: ChainDeps, found: ChainedRow[]): Promise<EventRow[]> {
  const window = { from: new Date(found[0]!.occurred_at), to: new Date(found.at(-1)!.occurred_at) }
  const chained = await fromAudit(
    chainedIds(
      audit,
      found.map(({ id }) => id),
      window,
    ),
  )
  return [...new Map(found.map((row) => [row.id, row])).values()]
    .filter(({ id }) => !chained.has(id))
    .map((row) => ({ ...row, ...splitData(toEvent(row)) }))
}

/** Answers how many events of the chain are adopted ones. */
async function removeUnchained({ audit }: ChainDeps): Promise<number> {
  const [counted] = await fromAudit(
    audit.rows<{ events: number }>({
      sql: 'SELECT toUInt32(count()) AS events FROM events WHERE batch = 0',
      params: {},
    }),
  )
  await fromAudit(
    audit.mutate({
      sql: 'ALTER TABLE events DELETE WHERE batch = 0 AND id IN (SELECT id FROM events WHERE batch > 0)',
      params: {},
    }),
  )
  return counted!.events
}
