import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { AuditCheckpoint, AuditConsistency, AuditEvent, AuditKeys, AuditProof } from '@conntext/contracts'
import type { Audit, ChainedRow, EventRow } from '@conntext/db-audit'
import {
  auditBatches,
  auditErasures,
  auditLog,
  auditPending,
  auditVerifications,
  authOutbox,
} from '@conntext/db-server-details'
import { newId, silentLogger } from '@conntext/kernel'
import { hashLeaf, verifyConsistency, verifyInclusion } from '@conntext/merkle'
import { enqueue, OutboxRelay } from '@conntext/outbox'
import { eventually } from '@conntext/testing'
import { asc, eq, gte, inArray, isNull, sql } from 'drizzle-orm'
import { openLines } from '../src/audit/chain/append.ts'
import { createSigners, rotateAuditKey } from '../src/audit/chain/keys.ts'
import { parseNotes } from '../src/audit/chain/note.ts'
import { lockChain } from '../src/audit/chain/queries.ts'
import { type Cut, type CutStep, cutEvents } from '../src/audit/chain/retention.ts'
import { createAuditChain } from '../src/audit/chain/service.ts'
import { keepWatch } from '../src/audit/chain/settle.ts'
import { atTask } from '../src/audit/chain/task.ts'
import { verifyLog } from '../src/audit/chain/verify.ts'
import { toRow } from '../src/audit/rows.ts'
import { storesOf } from './support/process-stores.ts'
import { startSystem } from './support/system.ts'
import { event, openSystemKeyring, startTrail, type Trail } from './support/trail.ts'

const DAY = 86_400_000
const ago = (ms: number) => new Date(Date.now() - ms).toISOString()
const bytes = (text: string) => Buffer.from(text, 'base64')

async function stored(trail: { audit: Audit }, ids: string[]) {
  const rows = await trail.audit.rows<{ id: string; batch: string; batch_index: number }>({
    sql: 'SELECT id, batch, batch_index FROM events WHERE id IN ({ids:Array(UUID)}) ORDER BY batch, batch_index',
    params: { ids },
  })
  return rows.map(({ id }) => id)
}

async function proofOf(trail: Trail, id: string): Promise<AuditProof> {
  const { status, body } = await trail.call('GET', `/v1/audit/events/${id}/proof`, trail.auditor)
  expect(status).toBe(200)
  return body as AuditProof
}

/** From the leaf to the checkpoint's root. */
function isProven({ leaf, index, path, header, headerPath, checkpoint }: AuditProof): boolean {
  const { number, size, root } = JSON.parse(header) as { number: number; size: number; root: string }
  const [note] = parseNotes(checkpoint)!
  return (
    verifyInclusion({ index, size, root: bytes(root) }, hashLeaf(leaf), path.map(bytes)) &&
    verifyInclusion({ index: number - 1, ...note! }, hashLeaf(header), headerPath.map(bytes))
  )
}

/** Everything that the chain's functions take, over a ClickHouse that may be made to fail. */
async function chainDeps(trail: Trail, change: Partial<Audit> = {}) {
  const keyring = await openSystemKeyring(trail)
  const audit = { ...trail.audit, ...change }
  return { db: trail.databases.system, audit, keyring, clock: trail.clock, log: silentLogger, nudge: () => {} }
}

describe('what is given out', () => {
  let trail: Trail
  beforeAll(async () => {
    trail = await startTrail({ batches: 7 })
  })
  afterAll(() => trail[Symbol.asyncDispose]())

  test('every event has a proof that leads to a checkpoint, and opens what is hidden in it', async () => {
    for (const { id, actor } of trail.events.flat().filter((_, i) => i % 9 === 0)) {
      const proof = await proofOf(trail, id)
      expect(isProven(proof)).toBe(true)
      expect(JSON.parse(proof.leaf)).toMatchObject({ id, actorId: actor.id, v: 1 })
      expect(proof.leaf).not.toContain(actor.address!)
      expect(proof.origin).toMatchObject({ address: actor.address, userAgent: actor.userAgent })
      expect(proof.personal).toMatchObject({ reason: 'because' })
      expect(isProven({ ...proof, leaf: proof.leaf.replace('deleted', 'created') })).toBe(false)
    }
  })

  test('a checkpoint is proven to be the beginning of each later one', async () => {
    const get = async (path: string) => (await trail.call('GET', path, trail.auditor)).body
    const older = (await get('/v1/audit/checkpoint')) as AuditCheckpoint
    await trail.port.ingestAudit({ events: [event(), event()] })
    const newer = (await get('/v1/audit/checkpoint')) as AuditCheckpoint
    expect(newer.size).toBe(older.size + 1)
    expect(newer.events).toBe(older.events + 2)
    const proof = (await get(`/v1/audit/consistency?first=${older.size}`)) as AuditConsistency
    const heads = [older, newer].map(({ size, root }) => ({ size, root: bytes(root) }))
    expect(verifyConsistency(heads[0]!, heads[1]!, proof.path.map(bytes))).toBe(true)
    expect(proof).toMatchObject({ firstRoot: older.root, secondRoot: newer.root, second: newer.size })
    for (const query of ['first=0', 'first=x', 'first=99', 'first=3&second=2', '', 'first=1&other=1']) {
      expect(await trail.call('GET', `/v1/audit/consistency?${query}`, trail.auditor)).toMatchObject({ status: 422 })
    }
  })

  test('is for those alone who may; the keys are for everybody', async () => {
    const member = await trail.member()
    const id = newId()
    const routes = [
      ['GET', '/v1/audit/checkpoint'],
      ['GET', '/v1/audit/consistency?first=1'],
      ['GET', `/v1/audit/events/${id}/proof`],
      ['POST', '/v1/audit/verify', {}],
      ['GET', `/v1/audit/verifications/${id}`],
    ] as const
    for (const [method, path, body] of routes) {
      expect(await trail.call(method, path, undefined, body)).toMatchObject({ status: 401 })
      expect(await trail.call(method, path, member, body)).toMatchObject({ status: 403 })
    }
    for (const path of [`/v1/audit/events/${id}/proof`, `/v1/audit/verifications/${id}`]) {
      expect(await trail.call('GET', path, trail.auditor)).toMatchObject({ status: 404 })
    }
    for (const body of [{ fromBatch: 0 }, { other: 1 }, { fromBatch: 3, toBatch: 2 }, { to: ago(30 * DAY) }]) {
      expect(await trail.call('POST', '/v1/audit/verify', trail.auditor, body)).toMatchObject({ status: 422 })
    }
    const { keys, origin } = (await trail.call('GET', '/v1/audit/keys')).body as AuditKeys
    expect(keys).toHaveLength(1)
    expect(keys[0]).toMatchObject({ retiredAt: null, endorsement: null })
    expect(keys[0]!.verifierKey).toStartWith(`${origin}+`)
  })

  test('a verification of a part, by batches or by time, looks at that part', async () => {
    const part = await trail.verifyByApi({ fromBatch: 2, toBatch: 4 })
    expect(part).toMatchObject({ intact: true, batches: 3, fromBatch: 2, toBatch: 4 })
    expect(await trail.verifyByApi({ from: ago(DAY), to: new Date().toISOString() })).toMatchObject({ intact: true })
  })

  test('those who ask for the same get the same; too many different ones at once are refused', async () => {
    const ask = (body: object) => trail.call('POST', '/v1/audit/verify', trail.auditor, body)
    const atOnce = (bodies: object[]) => Promise.all(bodies.map(ask))
    // What is carried out stays so until all have asked: what counts is how many are open.
    const whileHeld = async <T>(asking: () => Promise<T>): Promise<T> => {
      const gate = Promise.withResolvers<void>()
      const { rows } = trail.audit
      trail.audit.rows = async (query) => {
        await gate.promise
        return rows(query)
      }
      const answers = await asking().finally(() => {
        trail.audit.rows = rows
        gate.resolve()
      })
      const isOpen = inArray(auditVerifications.state, ['waiting', 'running'])
      await eventually(async () => (await trail.databases.system.$count(auditVerifications, isOpen)) === 0)
      return answers
    }
    const different = await whileHeld(() => atOnce(Array.from({ length: 20 }, (_, i) => ({ toBatch: i + 1 }))))
    const refused = different.filter(({ status }) => status === 409)
    expect(refused).toHaveLength(10)
    expect(refused[0]).toMatchObject({ body: { code: 'audit.busy' } })
    const same = await whileHeld(() => atOnce(Array(20).fill({ fromBatch: 2 })))
    expect(same.map(({ status }) => status)).toEqual(Array(20).fill(202))
    expect(new Set(same.map(({ body }) => (body as { id: string }).id)).size).toBeLessThanOrEqual(2)
  })

  test('a new key signs, endorsed by the one before it, and what the old one signed stays valid', async () => {
    const { note } = (await trail.call('GET', '/v1/audit/checkpoint', trail.auditor)).body as AuditCheckpoint
    const keyring = await openSystemKeyring(trail)
    const keyId = await trail.databases.system.transaction(async (tx) => {
      await lockChain(tx)
      return rotateAuditKey(tx, keyring)
    })
    const after = event()
    await trail.port.ingestAudit({ events: [after] })
    expect((await trail.call('GET', '/v1/audit/checkpoint', trail.auditor)).body).toMatchObject({ keyId })
    expect(await trail.verify({ checkpoint: note })).toMatchObject({ findings: [] })
    expect(isProven(await proofOf(trail, after.id))).toBe(true)
    const { keys } = (await trail.call('GET', '/v1/audit/keys')).body as AuditKeys
    expect(keys.map(({ retiredAt, endorsement }) => [retiredAt !== null, endorsement !== null])).toEqual([
      [true, false],
      [false, true],
    ])
  })
})

describe('exactly once, and in order, whoever dies on the way', () => {
  test('after a failure before ClickHouse had a batch, and after one when it had it already', async () => {
    await using trail = await startTrail({ batches: 1 })
    const broken = { isBroken: true }
    const fail = () => Promise.reject(Object.assign(new Error('the connection was lost'), { code: 'ECONNRESET' }))
    const before = await chainDeps(trail, { insertText: () => fail() })
    const after = await chainDeps(trail, {
      async insertText(...args) {
        await trail.audit.insertText(...args)
        if (broken.isBroken) await fail()
      },
    })
    const [first, second] = [Array.from({ length: 20 }, () => event()), Array.from({ length: 20 }, () => event())]
    await expect(createAuditChain(before).ingest({ events: first })).rejects.toMatchObject({ status: 503 })
    expect(await stored(trail, ids(first))).toEqual([])
    await expect(createAuditChain(after).ingest({ events: second })).rejects.toMatchObject({ status: 503 })
    // Whoever comes next finishes what was begun; the repeats add nothing.
    await trail.port.ingestAudit({ events: [...second, ...first] })
    await trail.port.ingestAudit({ events: first })
    expect(await stored(trail, ids([...first, ...second]))).toEqual(ids([...first, ...second]))
    expect(await trail.databases.system.$count(auditPending, isNull(auditPending.acknowledgedAt))).toBe(0)
    expect((await trail.verify()).findings).toEqual([])
  })

  test('rows that arrive while the log is verified are not taken for missing', async () => {
    await using trail = await startTrail({ batches: 1 })
    const lost = await chainDeps(trail, {
      insertText: () => Promise.reject(Object.assign(new Error('the connection was lost'), { code: 'ECONNRESET' })),
    })
    const late = [event(), event()]
    await expect(createAuditChain(lost).ingest({ events: late })).rejects.toMatchObject({ status: 503 })
    let reads = 0
    const deps = await chainDeps(trail, {
      async rows(query) {
        const rows = await trail.audit.rows<never>(query)
        // Read with all others, and once more by itself.
        if (query.sql.includes('batch BETWEEN') && ++reads === 2) await trail.port.ingestAudit({ events: late })
        return rows
      },
    })
    expect((await verifyLog(deps, {})).findings).toEqual([])
    expect(reads).toBe(2)
    expect(await stored(trail, ids(late))).toEqual(ids(late))
  })

  test('an instance that was just started knows what the log holds, whatever the ids and wherever it was', async () => {
    await using trail = await startTrail({ batches: 1 })
    const year = Date.UTC(2020, 0, 1)
    const oldId = (i: number) =>
      newId().replace(
        /^.{13}/,
        (year + i * DAY)
          .toString(16)
          .padStart(12, '0')
          .replace(/^(.{8})/, '$1-'),
      )
    const events = Array.from({ length: 40 }, (_, i) => {
      if (i % 4 === 0) return event({ id: crypto.randomUUID() })
      return event(i % 2 === 0 ? { id: oldId(i) } : {})
    })
    for (let at = 0; at < 40; at += 8) await trail.port.ingestAudit({ events: events.slice(at, at + 8) })
    const second = await trail.another()
    const more = Array.from({ length: 3 }, () => event())
    await second.port.ingestAudit({ events: [...events.slice(5, 30).reverse(), ...more, ...events] })
    await second.service.stop()
    expect((await stored(trail, ids(events))).sort()).toEqual(ids(events).sort())
    expect(await stored(trail, ids(more))).toHaveLength(3)
    expect((await trail.verify()).findings).toEqual([])
  })

  test('what the port refuses is set aside by the outbox that has it, and all else arrives, in order', async () => {
    await using trail = await startTrail({ batches: 1 })
    const [first, second, third] = [event(), event(), event()]
    const actor = { ...first.actor, id: 'nobody' }
    const owed = [first, event({ actor }), second, event({ occurredAt: '0001-01-01T00:00:00.000Z' }), third]
    const { auth: db } = trail.databases
    const relay = new OutboxRelay({
      ...{ db, table: authOutbox, log: silentLogger },
      topics: {
        audit: async (batch) =>
          void (await trail.port.ingestAudit({ events: batch.map(({ payload }) => payload as AuditEvent) })),
      },
    })
    await enqueue(
      db,
      authOutbox,
      owed.map((payload) => ({ id: newId(), topic: 'audit', payload })),
    )
    relay.start()
    await eventually(async () => (await relay.lag())[0]?.due === 0)
    await relay.stop()
    expect(await stored(trail, ids(owed))).toEqual(ids([first, second, third]))
    const aside = await db.select().from(authOutbox).where(isNull(authOutbox.deliveredAt)).orderBy(authOutbox.position)
    expect(aside.map(({ payload, refusedWith }) => [(payload as AuditEvent).id, refusedWith])).toEqual([
      [owed[1]!.id, 'request.invalid'],
      [owed[3]!.id, 'audit.unstorable'],
    ])
    expect((await trail.verify()).findings).toEqual([])
  })

  test('events of hundreds of months in one batch are stored: what is in the chain never waits for good', async () => {
    await using trail = await startTrail({ batches: 1 })
    const events = Array.from({ length: 105 }, (_, i) =>
      event({ occurredAt: new Date(Date.UTC(2000, i)).toISOString() }),
    )
    await trail.port.ingestAudit({ events })
    expect(await stored(trail, ids(events))).toEqual(ids(events))
    expect((await trail.verify()).findings).toEqual([])
  })

  test('killed -9 again and again, with several sources that repeat themselves', async () => {
    await using trail = await startTrail({ batches: 1 })
    const sources = Array.from({ length: 3 }, () => Array.from({ length: 400 }, () => event()))
    const given = JSON.stringify({ stores: storesOf(trail), batch: 7, sources })
    const run = async (batches: number) => {
      const child = Bun.spawn([process.execPath, `${import.meta.dir}/support/ingest-process.ts`], {
        stdin: Buffer.from(given),
        stdout: 'pipe',
        stderr: 'inherit',
      })
      let seen = 0
      for await (const chunk of child.stdout) {
        seen += Buffer.from(chunk).toString().split('\n').length - 1
        if (seen >= batches) child.kill('SIGKILL')
      }
      return child.exited
    }
    for (const batches of [1, 9, 30, 60]) expect(await run(batches)).not.toBe(0)
    expect(await run(Number.POSITIVE_INFINITY)).toBe(0)
    const all = await stored(trail, ids(sources.flat()))
    expect(all).toHaveLength(1_200)
    for (const source of sources) {
      const own = new Set(ids(source))
      expect(all.filter((id) => own.has(id))).toEqual(ids(source))
    }
    expect((await trail.verify()).findings).toEqual([])
  }, 60_000)

  test('what ClickHouse acknowledged and lost with the power is inserted again', async () => {
    await using trail = await startTrail()
    const [lost] = trail.events.slice(1, 2) as [AuditEvent[]]
    await trail.clickhouse('ALTER TABLE events DELETE WHERE id IN ({ids:Array(UUID)})', { ids: ids(lost) })
    expect((await trail.verify()).findings).toHaveLength(lost.length)
    // The engine is as old as the log: nothing could have been lost.
    await keepWatch(await chainDeps(trail))
    expect(await stored(trail, ids(lost))).toEqual([])
    const uptime = (seconds: number): Pick<Audit, 'rows'> => ({
      rows: async <T>(query: Parameters<Audit['rows']>[0]) =>
        query.sql.includes('uptime()') ? ([{ seconds }] as T[]) : trail.audit.rows<T>(query),
    })
    trail.clock.advance(30_000)
    // Every instance looks.
    const lookers = await Promise.all(Array.from({ length: 4 }, () => chainDeps(trail, uptime(5))))
    await Promise.all(lookers.map(keepWatch))
    expect(await stored(trail, ids(lost))).toEqual(ids(lost))
    expect((await trail.verify()).findings).toEqual([])
    // Only once it has been up for long enough are they let go.
    const { system: db } = trail.databases
    trail.clock.advance(9 * 60_000)
    await keepWatch(await chainDeps(trail, uptime(100_000)))
    expect(await db.$count(auditPending)).toBeGreaterThan(4)
    trail.clock.advance(2 * 60_000)
    await keepWatch(await chainDeps(trail, uptime(100_000)))
    expect(await db.$count(auditPending)).toBe(0)
    expect((await trail.verify()).findings).toEqual([])
  })
})

test('over a Postgres as it was a while ago, new events are stored all the same, and tell what was lost', async () => {
  await using trail = await startTrail()
  const other = await trail.another()
  const { system: db } = trail.databases
  const [gone, then, later] = [event(), event(), event()]
  await trail.port.ingestAudit({ events: [gone] })
  await db.transaction(async (tx) => {
    await lockChain(tx)
    const { batch } = await trail.placeOf(gone.id)
    await tx.delete(auditPending).where(gte(auditPending.number, batch))
    await tx.delete(auditBatches).where(gte(auditBatches.number, batch))
  })
  for (const one of [then, later]) await other.port.ingestAudit({ events: [one] })
  await other.service.stop()
  expect(await stored(trail, ids([then, later]))).toEqual(ids([then, later]))
  const { findings } = await trail.verify()
  // What the service itself recorded meanwhile may be gone as well.
  expect([...new Set(findings.map(({ kind }) => kind))]).toEqual(['added'])
  expect(findings.map(({ eventId }) => eventId)).toContain(gone.id)
})

describe('events from before the chain', () => {
  test('are taken into it once, as such; what comes later without a place is tampering', async () => {
    const old = Array.from({ length: 2_300 }, (_, i) => event({ occurredAt: ago((2_300 - i) * 60_000) }))
    const named = event({ action: 'user.registered', data: { username: 'zoe', via: 'invite' } })
    await using system = await startSystem({
      async before(audit) {
        const rows = [...old, named].map((one) => plainRow(one))
        await audit.insert('events', rows, newId())
      },
    })
    await system.trail('audit.adopted')
    const trail = Object.assign(system, { auditor: await system.member('audit.view') })
    expect((await stored(system, ids(old))).length).toBe(old.length)
    const kinds = await system.databases.system
      .select({ kind: auditBatches.kind, size: auditBatches.size })
      .from(auditBatches)
      .where(eq(auditBatches.kind, 'adopted'))
      .orderBy(asc(auditBatches.number))
    expect(kinds).toEqual([
      { kind: 'adopted', size: 2_000 },
      { kind: 'adopted', size: 301 },
    ])
    const proof = await proofOf(trail as unknown as Trail, named.id)
    expect(isProven(proof)).toBe(true)
    expect(proof.leaf).not.toContain('zoe')
    expect((await system.call('GET', `/v1/audit/events/${named.id}`, trail.auditor)).body).toEqual(named)
    const late = event()
    await system.audit.insert('events', [plainRow(late)], newId())
    const second = await system.another()
    await second.port.ingestAudit({ events: [event()] })
    await second.service.stop()
    const asked = await system.call('POST', '/v1/audit/verify', trail.auditor, {})
    const { id } = asked.body as { id: string }
    const found = await eventually(async () => {
      const { body } = await system.call('GET', `/v1/audit/verifications/${id}`, trail.auditor)
      return (body as { intact: boolean | null }).intact === null ? undefined : body
    })
    expect(found).toMatchObject({ findingCount: 1, findings: [{ kind: 'added', eventId: late.id }] })
  })

  test('are taken in, as is what others left, while ClickHouse never keeps the log from anybody', async () => {
    await using trail = await startTrail({ batches: 1 })
    const { system: db } = trail.databases
    const [left, own] = [event(), event()]
    const old = Array.from({ length: 2_001 }, (_, i) => event({ occurredAt: ago((2_001 - i) * 60_000) }))
    await trail.audit.insert(
      'events',
      old.map((one) => plainRow(one)),
      newId(),
    )
    const broken = await chainDeps(trail, { insertText: () => Promise.reject(new Error('the connection was lost')) })
    await expect(createAuditChain(broken).ingest({ events: [left] })).rejects.toMatchObject({ status: 503 })
    await db.update(auditLog).set({ adoptedAt: null })
    const isFree = async () => {
      const lock = sql`select pg_try_advisory_xact_lock(hashtextextended('audit.ingest', 0)) as mine`
      const [{ mine }] = (await db.execute(lock)) as unknown as [{ mine: boolean }]
      return mine
    }
    const asked = new Set<string>()
    const unlocked =
      <A extends unknown[], R>(name: string, ask: (...args: A) => Promise<R>) =>
      async (...args: A) => {
        asked.add(name)
        await eventually(isFree)
        return ask(...args)
      }
    const { rows, insertText, mutate } = trail.audit
    const audit = {
      rows: unlocked('rows', rows) as Audit['rows'],
      insertText: unlocked('insertText', insertText),
      mutate: unlocked('mutate', mutate),
    }
    await createAuditChain(await chainDeps(trail, audit)).ingest({ events: [own] })
    expect([...asked].sort()).toEqual(['insertText', 'mutate', 'rows'])
    expect((await stored(trail, ids([...old, left, own]))).sort()).toEqual(ids([...old, left, own]).sort())
    const adopted = await trail.trail('audit.adopted')
    expect(adopted.map(({ data }) => data)).toEqual([{ events: old.length }])
    expect((await trail.verify()).findings).toEqual([])
  })
})

describe('a deleted account', () => {
  test('is erased from the trail, also where it comes in later; every proof stays as it was', async () => {
    await using trail = await startTrail({ batches: 2 })
    const subject = newId()
    const actor = {
      kind: 'user' as const,
      id: subject,
      sessionId: newId(),
      address: '203.0.113.9',
      userAgent: 'theirs',
    }
    const target = { kind: 'user', id: subject }
    const own = event({ actor, target: { kind: 'session', id: newId() } })
    const named = event({ action: 'user.registered', actor, target, data: { username: 'erika', via: 'open' } })
    const moderated = event({ action: 'member.banned', target, reason: 'erika was rude' })
    const failed = event({ action: 'login.failed', actor: { ...actor, kind: 'anonymous', id: null }, target })
    const others = event({ target: { kind: 'user', id: newId() }, reason: 'something else' })
    await trail.port.ingestAudit({ events: [own, named, moderated, failed, others] })
    const before = await proofOf(trail, named.id)
    const deletion = event({ action: 'user.deleted', actor, target, data: { messages: 'keep' } })
    await trail.port.ingestAudit({ events: [deletion] })
    await lookAfter(trail)
    const late = event({ actor, target: { kind: 'session', id: newId() } })
    await trail.port.ingestAudit({ events: [late] })
    const rows = await trail.audit.rows<ChainedRow>({
      sql: 'SELECT * FROM events ORDER BY batch, batch_index',
      params: {},
    })
    const text = JSON.stringify(rows)
    for (const gone of ['203.0.113.9', 'theirs', 'erika']) expect(text).not.toContain(gone)
    expect(rows.find(({ id }) => id === moderated.id)).toMatchObject({ address: '192.0.2.7', reason: null })
    expect(rows.find(({ id }) => id === others.id)).toMatchObject({ address: '192.0.2.7', reason: 'something else' })
    const keyring = await openSystemKeyring(trail)
    for (const pending of await trail.databases.system.select().from(auditPending)) {
      expect(JSON.stringify(await openLines(keyring, pending))).not.toMatch(/203\.0\.113\.9|erika/)
    }
    expect((await trail.verify()).findings).toEqual([])
    const after = await proofOf(trail, named.id)
    expect(after).toMatchObject({ leaf: before.leaf, path: before.path, origin: null, personal: null })
    expect(isProven(after)).toBe(true)
    const [told] = await trail.trail('audit.personErased')
    expect(told).toMatchObject({ target, actor: { kind: 'system' } })
  })
})

describe('retention', () => {
  test('leaves the proofs of the rest as they were, and what is removed beside it is found', async () => {
    await using trail = await startTrail({ batches: 2 })
    const old = Array.from({ length: 30 }, (_, i) =>
      event({ occurredAt: ago(400 * DAY), action: i % 3 === 0 ? 'session.created' : 'role.deleted' }),
    )
    await trail.port.ingestAudit({ events: old })
    const [gone, kept] = [old.filter((_, i) => i % 3 === 0), old.filter((_, i) => i % 3 !== 0)]
    const forged = gone[5]!
    await trail.clickhouse("ALTER TABLE events UPDATE outcome = 'failed' WHERE id = {id:UUID}", { id: forged.id })
    const deps = await chainDeps(trail)
    const request = {
      before: new Date(Date.now() - 365 * DAY),
      filter: { actions: ['session.created'] },
      category: 'sessions',
    }
    const chain = { ...deps, signers: createSigners(deps.keyring) }
    const cut = await eventually(() =>
      atTask<CutStep, Cut>(chain, 'retention', (task) => cutEvents(chain, task, request)),
    )
    expect(cut).toMatchObject({ events: 9, batches: 1, tampered: [{ eventId: forged.id }] })
    expect(await stored(trail, ids(old))).toEqual(ids(old.filter((one) => !gone.includes(one) || one === forged)))
    expect((await trail.verify()).findings.map(({ kind, eventId }) => [kind, eventId])).toEqual([
      ['changed', forged.id],
    ])
    expect(isProven(await proofOf(trail, kept[0]!.id))).toBe(true)
    const [told] = await trail.trail('audit.cut')
    expect(told!.data).toMatchObject({ category: 'sessions', events: 9 })
    await trail.clickhouse('ALTER TABLE events DELETE WHERE id = {id:UUID}', { id: kept[1]!.id })
    expect((await trail.verify()).findings.map(({ kind }) => kind).sort()).toEqual(['changed', 'removed'])
  })
})

const ids = (events: { id: string }[]): string[] => events.map(({ id }) => id)

/** As it was stored before there was a chain. */
function plainRow(one: AuditEvent): Partial<EventRow> {
  const { personal: _, ...row } = toRow(one, new Date())
  return { ...row, data: JSON.stringify(one.data) }
}

/** Has the erasures carried out that are due: the service itself does it every half a minute. */
async function lookAfter(trail: Trail): Promise<void> {
  const second = await trail.another()
  const { system: db } = trail.databases
  await eventually(async () => (await db.$count(auditErasures, isNull(auditErasures.doneAt))) === 0)
  await second.service.stop()
}
