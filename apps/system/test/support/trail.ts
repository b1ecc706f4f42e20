import type { KeyObject } from 'node:crypto'
import { type AuditEvent, type AuditVerification, auditFor, systemActor } from '@conntext/contracts'
import { type ChainedRow, selectBatches } from '@conntext/db-audit'
import { auditBatches } from '@conntext/db-server-details'
import { newId, silentLogger } from '@conntext/kernel'
import { Keyring } from '@conntext/keyring'
import { Frontier, frontierNodes, rootOf } from '@conntext/merkle'
import { eventually } from '@conntext/testing'
import { eq } from 'drizzle-orm'
import { headerHash } from '../../src/audit/chain/header.ts'
import { createSigners } from '../../src/audit/chain/keys.ts'
import { leafHash } from '../../src/audit/chain/leaf.ts'
import { checkpointText, originOf } from '../../src/audit/chain/note.ts'
import { headerOf } from '../../src/audit/chain/proofs.ts'
import { packLeaves, readBatch, readHead, readNodes, readState } from '../../src/audit/chain/queries.ts'
import { sign } from '../../src/audit/chain/signing.ts'
import { type VerifyRequest, verifyLog } from '../../src/audit/chain/verify.ts'
import { systemKeys } from '../../src/keys.ts'
import { type Caller, type System, startSystem } from './system.ts'

export const event = (fields: Partial<AuditEvent> = {}): AuditEvent => ({
  ...auditFor('auth')('role.deleted', systemActor, newId(), { name: 'x' }),
  actor: { kind: 'user', id: newId(), sessionId: newId(), address: '192.0.2.7', userAgent: 'a browser' },
  reason: 'because',
  ...fields,
})

/** A service with a log of some batches, and what a test does to it and asks of it. */
export async function startTrail({ batches = 5, size = 8 } = {}) {
  const system = await startSystem()
  const auditor = await system.member('audit.view')
  const keyring = await openSystemKeyring(system)
  const events: AuditEvent[][] = []
  for (let i = 0; i < batches; i += 1) {
    events.push(Array.from({ length: size }, () => event()))
    await system.port.ingestAudit({ events: events[i]! })
  }
  // What the service itself records is in by now, and stays out of the way.
  await system.trail('system.started')
  await system.trail('audit.queried')
  return Object.assign(system, {
    auditor,
    events,
    verify: async (request: VerifyRequest = {}) =>
      verifyLog({ db: system.databases.system, audit: system.audit, keyring }, request),
    /** As an administrator does it. */
    verifyByApi: (request: object = {}) => verifyByApi(system, auditor, request),
    checkpoint: async () =>
      (await system.call('GET', '/v1/audit/checkpoint', auditor)).body as { note: string; size: number },
    /** Where an event stands. */
    async placeOf(id: string): Promise<{ batch: number; index: number; eventId: string }> {
      const [row] = await system.audit.rows<{ batch: string; batch_index: number }>({
        sql: 'SELECT batch, batch_index FROM events WHERE id = {id:UUID}',
        params: { id },
      })
      return { batch: Number(row!.batch), index: row!.batch_index, eventId: id }
    },
    /** A statement of whoever got into ClickHouse. */
    clickhouse: (sql: string, params: Record<string, unknown> = {}) => system.audit.mutate({ sql, params }),
  })
}
export type Trail = Awaited<ReturnType<typeof startTrail>>

/** Asks for a verification, and waits for what it found. */
export async function verifyByApi(system: System, caller: Caller, request: object): Promise<AuditVerification> {
  const asked = await system.call('POST', '/v1/audit/verify', caller, request)
  if (asked.status !== 202) throw new Error(JSON.stringify(asked.body))
  const { id } = asked.body as AuditVerification
  return eventually(async () => {
    const { body } = await system.call('GET', `/v1/audit/verifications/${id}`, caller)
    const verification = body as AuditVerification
    return verification.finishedAt === null ? undefined : verification
  })
}

export async function openSystemKeyring(system: System): Promise<Keyring> {
  const { system: db } = system.databases
  const keyring = new Keyring({ ...systemKeys, db, masterKey: system.deps.masterKey, log: silentLogger })
  await keyring.load(db)
  return keyring
}

/** The real key: of an attacker who has the master key as well. */
export async function stolenSigner(system: System): Promise<(text: string) => Buffer> {
  const signer = await createSigners(await openSystemKeyring(system))(system.databases.system)
  return (text) => signer.sign(text)
}

export const ownSigner = (key: KeyObject) => (text: string) => sign(key, text)

/**
 * What somebody does who wants nobody to notice: changes the rows of a batch in ClickHouse, and computes everything in
 * Postgres anew from there to the log's end: leaves, roots, headers, tree; and the signatures, with a key or without.
 */
export async function rewriteFrom(
  system: System,
  first: number,
  options: { change(row: ChainedRow): ChainedRow; sign?: (text: string) => Buffer; keyId?: string },
): Promise<void> {
  const { system: db } = system.databases
  const { logId } = await readState(db)
  const last = (await readHead(db))!.number
  const frontier = Frontier.at(first - 1, await readNodes(db, frontierNodes(first - 1)))
  let previous = first > 1 ? (await readBatch(db, first - 1))!.subtrees.subarray(0, 32) : null
  for (let number = first; number <= last; number += 1) {
    const batch = (await readBatch(db, number))!
    const rows = await selectBatches(system.audit, number, number)
    const changed = number === first ? rows.map(options.change) : rows
    if (number === first) await replaceRows(system, number, changed)
    const leaves = changed.map((row) => ({ id: row.id, hash: leafHash(row) }))
    const root = Buffer.from(rootOf(leaves.map(({ hash }) => hash)))
    const row = { ...batch, root, previous, keyId: options.keyId ?? batch.keyId }
    const subtrees = Buffer.concat(frontier.append(headerHash(headerOf(logId, row))))
    const text = checkpointText({ origin: originOf(logId), size: number, root: frontier.root() })
    const signature = options.sign?.(text) ?? batch.signature
    const values = { root, previous, keyId: row.keyId, subtrees, signature, leaves: packLeaves(leaves) }
    await db.update(auditBatches).set(values).where(eq(auditBatches.number, number))
    previous = subtrees.subarray(0, 32)
  }
}

async function replaceRows(system: System, number: number, rows: ChainedRow[]): Promise<void> {
  await system.audit.mutate({ sql: 'ALTER TABLE events DELETE WHERE batch = {number:UInt64}', params: { number } })
  await system.audit.insert('events', rows, newId())
}
