import { describe, expect, test } from 'bun:test'
import type { AuditFinding } from '@conntext/contracts'
import { type ChainedRow, selectBatches } from '@conntext/db-audit'
import { auditBatches, auditCuts, auditErasures, auditKeys, auditLog } from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import { eq, gt, sql } from 'drizzle-orm'
import { createSigners, rotateAuditKey } from '../src/audit/chain/keys.ts'
import { eraseOrigin } from '../src/audit/chain/leaf.ts'
import { lockChain, readState } from '../src/audit/chain/queries.ts'
import { cutText, erasureText, importPrivateKey, newKeyPair } from '../src/audit/chain/signing.ts'
import {
  event,
  openSystemKeyring,
  ownSigner,
  rewriteFrom,
  startTrail,
  stolenSigner,
  type Trail,
} from './support/trail.ts'

const places = (findings: AuditFinding[]) =>
  findings.map(({ kind, batch, index, eventId }) => ({ kind, batch, index, eventId }))
const kinds = (findings: AuditFinding[]) => [...new Set(findings.map(({ kind }) => kind))].sort()
const UPDATE = 'ALTER TABLE events UPDATE'

/** As erasing a person leaves a row, but for what says that they were erased. */
const blankOrigin = (trail: Trail, erased: Awaited<ReturnType<typeof row>>) =>
  trail.clickhouse(
    `${UPDATE} origin_hash = {hash:String}, origin_salt = '', address = NULL, user_agent = NULL WHERE id = {id:UUID}`,
    { hash: eraseOrigin(erased).origin_hash, id: erased.id },
  )

async function row(trail: Trail, id: string) {
  const { batch, index } = await trail.placeOf(id)
  return (await selectBatches(trail.audit, batch, batch)).find((one) => one.batch_index === index)!
}

test('without tampering nothing is found, and what was looked at is told', async () => {
  await using trail = await startTrail()
  const { note } = await trail.checkpoint()
  const found = await trail.verifyByApi({ checkpoint: note })
  expect(found).toMatchObject({ state: 'done', intact: true, findings: [], findingCount: 0, error: null })
  expect(found.events).toBeGreaterThan(40)
  expect(found.totalEvents).toBe(found.events)
  const [asked] = await trail.trail('audit.verificationAsked')
  expect(asked).toMatchObject({ actor: { id: trail.auditor!.userId }, target: { id: found.id } })
  const [verified] = await trail.trail('audit.verified')
  expect(verified).toMatchObject({ actor: { kind: 'system' }, data: { events: found.events, batches: found.batches } })
})

describe('tampering in ClickHouse', () => {
  test('tamper: a changed row is found, whichever of its values was changed', async () => {
    await using trail = await startTrail()
    const changes = [
      "outcome = 'refused'",
      "data = '{}'",
      "address = '192.0.2.8'",
      'user_agent = NULL',
      "reason = 'otherwise'",
      'personal = \'{"username":"x"}\'',
      "received_at = '2020-01-01 00:00:00.000'",
      'session_id = NULL',
      "origin_salt = ''",
      "personal_salt = 'AAAAAAAAAAAAAAAAAAAAAA'",
      "personal_hash = 'ab', personal_salt = '', personal = '', reason = NULL",
      "trace_id = 'x'",
    ]
    const ids = trail.events.flat().map(({ id }) => id)
    for (const [i, change] of changes.entries()) {
      await trail.clickhouse(`${UPDATE} ${change} WHERE id = {id:UUID}`, { id: ids[i * 3] })
    }
    const found = await trail.verifyByApi()
    expect(found).toMatchObject({ state: 'done', intact: false, findingCount: changes.length })
    const expected = await Promise.all(changes.map((_, i) => trail.placeOf(ids[i * 3]!)))
    expect(places(found.findings)).toEqual(expected.map((place) => ({ kind: 'changed', ...place })))
    const [told] = await trail.trail('audit.tamperingFound')
    expect(told).toMatchObject({
      severity: 'warning',
      outcome: 'failed',
      data: { findings: changes.length, kinds: ['changed'] },
    })
  })

  test('tamper: a removed row is found, and a whole batch', async () => {
    await using trail = await startTrail()
    const one = await trail.placeOf(trail.events[1]![3]!.id)
    const batch = await Promise.all(trail.events[3]!.map(({ id }) => trail.placeOf(id)))
    await trail.clickhouse('ALTER TABLE events DELETE WHERE id = {id:UUID}', { id: one.eventId })
    await trail.clickhouse('ALTER TABLE events DELETE WHERE batch = {batch:UInt64}', batch[0]!)
    const found = await trail.verify()
    const removed = [one, ...batch].map((place) => ({ kind: 'removed' as const, ...place }))
    expect(places(found.findings).filter(({ eventId }) => removed.some((r) => r.eventId === eventId))).toEqual(removed)
    expect(kinds(found.findings)).toEqual(['removed'])
  })

  test('tamper: an added row is found, wherever it says that it belongs', async () => {
    await using trail = await startTrail()
    const like = await row(trail, trail.events[2]![0]!.id)
    const added = [
      { ...like, id: newId(), batch_index: 1_000 },
      { ...like, id: newId() },
      { ...like },
      { ...like, id: newId(), batch: 0 },
      { ...like, id: newId(), batch: 1_000_000 },
    ]
    for (const one of added) await trail.audit.insert('events', [one], newId())
    const found = await trail.verify()
    expect(kinds(found.findings)).toEqual(['added'])
    const order = (list: { eventId: string | null; batch: number | null; index: number | null }[]) =>
      list.map(({ eventId, batch, index }) => `${eventId} ${batch}/${index}`).sort()
    expect(order(found.findings)).toEqual(
      order(added.map(({ id, batch, batch_index }) => ({ eventId: id, batch, index: batch_index }))),
    )
  })

  test('tamper: rows that were reordered are found, within a batch and between batches', async () => {
    await using trail = await startTrail()
    const [first, second] = await Promise.all([0, 1].map((i) => trail.placeOf(trail.events[1]![i]!.id)))
    const swapped = 'batch_index = if(id = {a:UUID}, {b_index:UInt32}, {a_index:UInt32})'
    await trail.clickhouse(`${UPDATE} ${swapped} WHERE id IN ({a:UUID}, {b:UUID})`, {
      ...{ a: first!.eventId, a_index: first!.index, b: second!.eventId, b_index: second!.index },
    })
    const moved = await trail.placeOf(trail.events[3]![7]!.id)
    await trail.clickhouse(`${UPDATE} batch = {to:UInt64}, batch_index = 500 WHERE id = {id:UUID}`, {
      ...{ id: moved.eventId, to: first!.batch },
    })
    const found = await trail.verify()
    expect(kinds(found.findings)).toEqual(['reordered'])
    const ids = [first!, second!, moved].map(({ eventId }) => eventId)
    expect(found.findings.map(({ eventId }) => eventId!).sort()).toEqual(ids.sort())
    expect(found.findings.find(({ eventId }) => eventId === moved.eventId)!.detail).toContain(
      `${moved.batch}/${moved.index}`,
    )
  })

  test('tamper: two rows whose people were swapped are found, one taken to another month, and one stored again', async () => {
    await using trail = await startTrail()
    const [a, b, moved, twice] = await Promise.all([0, 2, 4, 6].map((i) => row(trail, trail.events[1]![i]!.id)))
    await trail.clickhouse('ALTER TABLE events DELETE WHERE id IN ({ids:Array(UUID)})', {
      ids: [a!, b!, moved!].map(({ id }) => id),
    })
    const origin = ({ address, user_agent, origin_salt }: ChainedRow) => ({ address, user_agent, origin_salt })
    const put = [
      { ...a!, ...origin(b!) },
      { ...b!, ...origin(a!) },
      { ...moved!, occurred_at: '2020-02-02T00:00:00.000Z' },
      twice!,
    ]
    for (const one of put) await trail.audit.insert('events', [one], newId())
    const { findings } = await trail.verify()
    const found = findings.map(({ kind, eventId }) => `${kind} ${eventId}`).sort()
    expect(found).toEqual([...[a, b, moved].map((one) => `changed ${one!.id}`), `added ${twice!.id}`].sort())
  })

  test('tamper: personal data that was removed without an erasure is found, and an address put under a hash', async () => {
    await using trail = await startTrail()
    const [erased, replaced] = [await row(trail, trail.events[1]![1]!.id), await row(trail, trail.events[2]![2]!.id)]
    const { origin_hash } = eraseOrigin(erased)
    await trail.clickhouse(
      `${UPDATE} origin_hash = {hash:String}, origin_salt = '', address = NULL, user_agent = NULL WHERE id = {id:UUID}`,
      { hash: origin_hash, id: erased.id },
    )
    await trail.clickhouse(`${UPDATE} origin_hash = {hash:String}, address = '192.0.2.9' WHERE id = {id:UUID}`, {
      ...{ hash: eraseOrigin(replaced).origin_hash, id: replaced.id },
    })
    const found = await trail.verify()
    expect(places(found.findings)).toEqual([
      { kind: 'erased', ...(await trail.placeOf(erased.id)) },
      { kind: 'changed', ...(await trail.placeOf(replaced.id)) },
    ])
  })
})

describe('tampering in Postgres', () => {
  test('tamper: a batch that was changed, one that lost its leaves and one that is missing are found', async () => {
    await using trail = await startTrail({ batches: 8 })
    const { system: db } = trail.databases
    await db
      .update(auditBatches)
      .set({ at: new Date(0) })
      .where(eq(auditBatches.number, 2))
    await db
      .update(auditBatches)
      .set({ leaves: sql`overlay(leaves placing '\\x00'::bytea from 30)` })
      .where(eq(auditBatches.number, 4))
    await db.delete(auditBatches).where(eq(auditBatches.number, 6))
    const { findings } = await trail.verify()
    const rewritten = findings.filter(({ kind }) => kind === 'chainRewritten')
    expect(rewritten.map(({ batch }) => batch)).toEqual([2, 4, 6])
    // The rows of a batch that is no longer there, or whose hashes are not, belong nowhere.
    expect(kinds(findings)).toEqual(['chainRewritten', 'changed'])
  })

  test('tamper: a chain that was computed anew after a change has a wrong signature from there on', async () => {
    await using trail = await startTrail()
    await rewriteFrom(trail, 3, { change: (one) => ({ ...one, outcome: 'refused' }) })
    const { findings } = await trail.verify()
    expect(places(findings)).toEqual([{ kind: 'signatureWrong', batch: 3, index: null, eventId: null }])
    // Also when it is looked at from a later batch on.
    expect(places((await trail.verify({ from: 4 })).findings)).toEqual([
      { kind: 'signatureWrong', batch: 4, index: null, eventId: null },
    ])
    expect((await trail.verify({ to: 2 })).findings).toEqual([])
    // The server that ran on meanwhile remembers where the log ended.
    await trail.port.ingestAudit({ events: [event()] })
    expect(kinds((await trail.verify()).findings)).toEqual(['chainRewritten', 'signatureWrong'])
  })

  test("tamper: a chain signed anew with a key of the attacker's own is found", async () => {
    await using trail = await startTrail()
    const { id, publicKey, privateKey } = newKeyPair()
    const { system: db } = trail.databases
    const [ours] = await db.select().from(auditKeys)
    await db.insert(auditKeys).values({ ...ours!, id, publicKey, position: 0, retiredAt: new Date() })
    const sign = ownSigner(importPrivateKey(privateKey))
    await rewriteFrom(trail, 3, { change: (one) => ({ ...one, outcome: 'refused' }), sign, keyId: id })
    const { findings } = await trail.verify()
    expect(findings.map(({ kind, batch }) => [kind, batch])).toEqual([
      ['signatureWrong', null],
      ['signatureWrong', 3],
    ])
    expect(findings[0]!.detail).toContain(id)
  })

  test('tamper: a chain signed anew with the real key contradicts the checkpoint that was kept', async () => {
    await using trail = await startTrail()
    const { note, size } = await trail.checkpoint()
    await rewriteFrom(trail, 2, {
      change: (one) => ({ ...one, outcome: 'refused' }),
      sign: await stolenSigner(trail),
    })
    expect((await trail.verify()).findings).toEqual([])
    const { findings } = await trail.verify({ checkpoint: note })
    expect(places(findings)).toEqual([{ kind: 'checkpointContradicts', batch: size, index: null, eventId: null }])
  })

  test('tamper: a log whose end was cut off, and one that was begun anew, contradict the checkpoint', async () => {
    await using trail = await startTrail()
    const { note, size } = await trail.checkpoint()
    const { system: db } = trail.databases
    await db.delete(auditBatches).where(gt(auditBatches.number, 2))
    await trail.clickhouse('ALTER TABLE events DELETE WHERE batch > 2')
    expect((await trail.verify({ to: 2 })).findings).toEqual([])
    const cut = (await trail.verify({ to: 2, checkpoint: note })).findings
    expect(cut.map(({ kind, batch }) => [kind, batch])).toEqual([['checkpointContradicts', size]])
    await db.update(auditLog).set({ logId: newId() })
    expect(kinds((await trail.verify({ to: 2, checkpoint: note })).findings)).toContain('checkpointContradicts')
  })

  test('tamper: a checkpoint that was edited, or signed by somebody else, is not taken for ours', async () => {
    await using trail = await startTrail()
    const { note, size } = await trail.checkpoint()
    const forged = note.replace(/(?<=— \S+ \S{20})\S/, (letter) => (letter === 'A' ? 'B' : 'A'))
    expect(forged).not.toBe(note)
    const { findings } = await trail.verify({ checkpoint: forged })
    expect(places(findings)).toEqual([{ kind: 'checkpointContradicts', batch: size, index: null, eventId: null }])
    expect((await trail.verify({ checkpoint: `${note}\n${note}` })).findings).toEqual([])
    expect(await trail.call('POST', '/v1/audit/verify', trail.auditor, { checkpoint: 'x' })).toMatchObject({
      status: 422,
      body: { code: 'audit.badCheckpoint' },
    })
  })

  test('tamper: records that nobody signed explain nothing', async () => {
    await using trail = await startTrail()
    const { system: db } = trail.databases
    const [key] = await db.select().from(auditKeys)
    const forged = { at: new Date(), keyId: key!.id, signature: new Uint8Array(64) }
    const gone = await trail.placeOf(trail.events[1]![1]!.id)
    await trail.clickhouse('ALTER TABLE events DELETE WHERE id = {id:UUID}', { id: gone.eventId })
    await db.insert(auditCuts).values({ ...forged, batch: gone.batch, removed: new Uint8Array(2).fill(255) })
    const erased = await row(trail, trail.events[3]![1]!.id)
    await blankOrigin(trail, erased)
    await db.insert(auditErasures).values({ ...forged, subject: erased.actor_id!, doneAt: new Date() })
    const { findings } = await trail.verify()
    expect(findings.map(({ kind, eventId }) => [kind, eventId])).toEqual([
      ['signatureWrong', null],
      ['removed', gone.eventId],
      ['signatureWrong', null],
      ['erased', erased.id],
    ])
  })

  test('tamper: what a key signs after it was followed by another is found, by the one who still has it', async () => {
    await using trail = await startTrail()
    const { system: db } = trail.databases
    const sign = await stolenSigner(trail)
    const [old] = await db.select().from(auditKeys)
    const keyring = await openSystemKeyring(trail)
    await db.transaction(async (tx) => {
      await lockChain(tx)
      await rotateAuditKey(tx, keyring)
    })
    const [first, second] = [event(), event()]
    for (const one of [first, second]) await trail.port.ingestAudit({ events: [one] })
    expect((await trail.verify()).findings).toEqual([])
    const { batch } = await trail.placeOf(second.id)
    await rewriteFrom(trail, batch, {
      change: (one) => (one.id === second.id ? { ...one, outcome: 'refused' } : one),
      sign,
      keyId: old!.id,
    })
    const { findings } = await trail.verify()
    expect(places(findings)).toEqual([{ kind: 'signatureWrong', batch, index: null, eventId: null }])
    expect(findings[0]!.detail).toContain('followed by another')
  })

  test('tamper: records that were signed for something else explain nothing here', async () => {
    await using trail = await startTrail()
    const { system: db } = trail.databases
    const { logId } = await readState(db)
    const signer = await createSigners(await openSystemKeyring(trail))(db)
    const [gone, erased] = [await trail.placeOf(trail.events[1]![1]!.id), await row(trail, trail.events[3]![1]!.id)]
    await trail.clickhouse('ALTER TABLE events DELETE WHERE id = {id:UUID}', { id: gone.eventId })
    // Signed by the server itself: of the same rows of another batch, and of another person.
    const at = new Date()
    const removed = new Uint8Array(2).fill(255)
    const cut = signer.sign(cutText(logId, { batch: gone.batch + 1, removed, at }))
    await db.insert(auditCuts).values({ batch: gone.batch, removed, at, keyId: signer.id, signature: cut })
    await blankOrigin(trail, erased)
    const erasure = signer.sign(erasureText(logId, { subject: newId(), at }))
    const forged = { subject: erased.actor_id!, at, doneAt: at, keyId: signer.id, signature: erasure }
    await db.insert(auditErasures).values(forged)
    const { findings } = await trail.verify()
    expect(findings.map(({ kind, eventId }) => [kind, eventId])).toEqual([
      ['signatureWrong', null],
      ['removed', gone.eventId],
      ['signatureWrong', null],
      ['erased', erased.id],
    ])
  })
})
