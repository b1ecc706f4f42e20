import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'bun:test'
import { appendFile, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { auditBatches } from '@conntext/db-server-details'
import { silentLogger } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { gt } from 'drizzle-orm'
import { Findings } from '../src/audit/chain/findings.ts'
import { checkpointFiles, KeptCheckpoints, keptCheckpoints } from '../src/audit/chain/kept-checkpoints.ts'
import { LogWalk } from '../src/audit/chain/log-walk.ts'
import { parseNotes, wholeNotes } from '../src/audit/chain/note.ts'
import { readBatches, readState } from '../src/audit/chain/queries.ts'
import type { Records } from '../src/audit/chain/records.ts'
import { event, startTrail, type Trail } from './support/trail.ts'

let trail: Trail
let directory: string
beforeAll(async () => {
  trail = await startTrail()
})
afterAll(() => trail[Symbol.asyncDispose]())
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'conntext-checkpoints-'))
})
afterEach(() => rm(directory, { recursive: true }))

const keeper = (where = directory, withinMs = 30_000) =>
  new KeptCheckpoints({ db: trail.databases.system, clock: trail.clock, log: silentLogger, directory: where, withinMs })
const text = () => keptCheckpoints(directory)
const kept = async () => parseNotes(await text())!.map(({ size }) => size)
const more = () => trail.port.ingestAudit({ events: [event()] })

test('each new checkpoint is added to what is there, now and then, and all of them are verified together', async () => {
  const checkpoints = keeper()
  await checkpoints.keep()
  const first = (await trail.checkpoint()).size
  expect(await kept()).toEqual([first])
  await more()
  await checkpoints.keep()
  expect(await kept()).toHaveLength(1)
  trail.clock.advance(5 * 60_000)
  await checkpoints.keep()
  expect(await kept()).toHaveLength(2)
  trail.clock.advance(86_400_000)
  await more()
  await checkpoints.keep()
  const sizes = await kept()
  expect(sizes).toHaveLength(3)
  expect(sizes).toEqual(sizes.toSorted((a, b) => a - b))
  expect((await checkpointFiles(directory)).length).toBe(2)
  expect((await trail.verify({ checkpoint: await text() })).findings).toEqual([])
  expect(await checkpoints.probe.run()).toBeUndefined()
})

test('what cannot be written is told by health, and written once it can', async () => {
  const file = join(directory, 'in the way')
  await writeFile(file, '')
  const checkpoints = keeper(file)
  await checkpoints.keep()
  expect(await checkpoints.probe.run()).toMatchObject({ state: 'degraded', remedy: expect.stringContaining(file) })
  await rm(file)
  await checkpoints.keep()
  expect(await checkpoints.probe.run()).toBeUndefined()
  expect(await checkpointFiles(file)).toHaveLength(1)
})

test('what somebody was writing when the machine went down keeps nobody from going on', async () => {
  await keeper().keep()
  const [file] = await checkpointFiles(directory)
  await appendFile(file!, 'conntext/audit/x\n12\nAAAA')
  const later = keeper()
  await more()
  await later.keep()
  expect(await later.probe.run()).toBeUndefined()
  expect(await kept()).toHaveLength(2)
})

test('wherever a checkpoint is cut short, it is none, and what comes after it is one', async () => {
  const { note } = await trail.checkpoint()
  for (let cut = 1; cut < note.length; cut += 1) {
    const found = wholeNotes(`${note.slice(0, cut)}\n${note}`)
    expect(found.at(-1)).toBe(note)
    expect(new Set(found)).toEqual(new Set([note]))
  }
})

test('a year of checkpoints is compared with the log without holding everybody else up', async () => {
  const db = trail.databases.system
  const { note, size } = await trail.checkpoint()
  const { logId } = await readState(db)
  const notes = Array.from({ length: 1_000 }, () => parseNotes(note)![0]!)
  const records = { keys: new Map() } as Records
  const walk = await LogWalk.begin({ db, logId, records, findings: new Findings(), notes }, 1)
  walk.take(await readBatches(db, 1, size), 1, size)
  let turns = 0
  const turn = () => {
    turns += 1
    next = setImmediate(turn)
  }
  let next = setImmediate(turn)
  await walk.compareNotes(size)
  clearImmediate(next)
  expect(turns).toBeGreaterThan(5)
})

test('the service keeps them by itself, also the last one before it stops, and its health says how that goes', async () => {
  const { service } = await trail.another({ checkpointDirectory: directory })
  await eventually(async () => (await checkpointFiles(directory)).length > 0)
  const health = await service.port.handle(
    new Request('http://localhost/internal/system/health', {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-conntext-service': trail.deps.credential },
      body: '{}',
    }),
  )
  expect(await health.text()).toContain('"audit checkpoints"')
  await more()
  const { size } = await trail.checkpoint()
  await service.stop()
  expect((await kept()).at(-1)).toBeGreaterThanOrEqual(size)
})

test('tamper: a log whose end was cut off is found by itself, and nothing is added that would hide it', async () => {
  await keeper().keep()
  const before = await text()
  const { size } = await trail.checkpoint()
  await trail.databases.system.delete(auditBatches).where(gt(auditBatches.number, size - 1))
  const restarted = keeper()
  await restarted.keep()
  expect(await restarted.probe.run()).toMatchObject({
    state: 'degraded',
    detail: expect.stringContaining(`it had ${size} batches, and has ${size - 1}`),
    remedy: expect.stringContaining(`--against ${directory}`),
  })
  expect(await text()).toBe(before)

  // As after a restore from a backup, when the operator has put the files elsewhere.
  const elsewhere = `${directory}-of-before`
  await rename(directory, elsewhere)
  await restarted.keep()
  expect(await restarted.probe.run()).toBeUndefined()
  expect(await kept()).toEqual([size - 1])
  await rm(elsewhere, { recursive: true })
})

test('tamper: a file of which the disk had no room for a checkpoint hides none of the day before', async () => {
  await keeper().keep()
  await writeFile(join(directory, 'checkpoints-9999-12-31.txt'), '')
  const { size } = await trail.checkpoint()
  await trail.databases.system.delete(auditBatches).where(gt(auditBatches.number, size - 1))
  const restarted = keeper()
  await restarted.keep()
  expect(await restarted.probe.run()).toMatchObject({ detail: expect.stringContaining(`it had ${size} batches`) })
})

test('a directory that never answers, as that of a machine that is gone, is told of and waited for no longer', async () => {
  const pipe = join(directory, 'checkpoints-2026-01-01.txt')
  expect(Bun.spawnSync(['mkfifo', pipe]).success).toBe(true)
  const checkpoints = keeper(directory, 100)
  await checkpoints.keep()
  expect(await checkpoints.probe.run()).toMatchObject({ state: 'degraded', remedy: expect.stringContaining(directory) })
  await writeFile(pipe, '')
  await rm(pipe)
  await eventually(async () => {
    await checkpoints.keep()
    return (await checkpoints.probe.run()) === undefined
  })
  expect(await kept()).toHaveLength(1)
})
