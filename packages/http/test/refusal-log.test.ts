import { describe, expect, test } from 'bun:test'
import { type AuditEvent, auditFor, systemActor } from '@conntext/contracts'
import { eventually } from '@conntext/testing'
import { dependencyErrors, noteAccess, RefusalLog, type Repeats } from '../src/index.ts'
import { recordingLogger } from './support/app.ts'
import { testClock } from './support/clock.ts'

const audit = auditFor('auth')

/** A log whose records the test reads as `code` and `code×repeats`; `hold` makes the recording wait or fail. */
function refusalLog(hold: () => Promise<void> = async () => {}) {
  const clock = testClock()
  const { log, lines } = recordingLogger()
  const recorded: AuditEvent[] = []
  const record = async (event: AuditEvent) => {
    await hold()
    recorded.push(event)
  }
  const refusals = new RefusalLog({ record, audit, clock, log })
  const note = (code: string, key = code) =>
    refusals.note(key, (repeats: Repeats) => audit('login.failed', systemActor, null, { code, ...repeats }))
  const told = () =>
    recorded.map(({ action, data }) => {
      if (action === 'refusals.summed') return data.actions as Record<string, number>
      const { code, repeats } = data as { code: string } & Repeats
      return repeats === undefined ? code : `${code}×${repeats}`
    })
  return { clock, lines, recorded, refusals, note, told }
}

const settled = () => new Promise((resolve) => setImmediate(resolve))

describe('a refusal', () => {
  test('is recorded at once, its repeats once at the end of the minute', async () => {
    const { clock, refusals, note, told } = refusalLog()
    for (let i = 0; i < 25; i += 1) note('wrong')
    await settled()
    expect(told()).toEqual(['wrong'])
    clock.advance(59_999)
    refusals.sweep()
    await settled()
    expect(told()).toEqual(['wrong'])
    clock.advance(1)
    refusals.sweep()
    refusals.sweep()
    await settled()
    expect(told()).toEqual(['wrong', 'wrong×24'])
  })

  test('after the minute is a new one, recorded behind what was counted', async () => {
    const { clock, refusals, note, told } = refusalLog()
    note('wrong')
    note('wrong')
    clock.advance(60_000)
    note('wrong')
    await refusals.stop()
    expect(told()).toEqual(['wrong', 'wrong×1', 'wrong'])
  })

  test('that nobody repeats leaves one record', async () => {
    const { clock, refusals, note, told } = refusalLog()
    note('wrong')
    clock.advance(60_000)
    refusals.sweep()
    await refusals.stop()
    expect(told()).toEqual(['wrong'])
  })

  test('is a repeat by its key alone, and the last one is what the record of the repeats tells of', async () => {
    const { refusals, note, told } = refusalLog()
    note('first', 'ann')
    note('other', 'bob')
    note('last', 'ann')
    await refusals.stop()
    expect(told()).toEqual(['first', 'other', 'last×1'])
  })

  test('is counted into a new minute when the clock was set back', async () => {
    const { clock, refusals, note, told } = refusalLog()
    note('wrong')
    clock.advance(-3_600_000)
    note('wrong')
    await refusals.stop()
    expect(told()).toEqual(['wrong', 'wrong'])
  })
})

describe('recording', () => {
  test('fails and holds up nobody, and goes on behind a failure', async () => {
    let away = true
    const { lines, refusals, note, told } = refusalLog(async () => {
      if (away) throw new Error('the database is away')
    })
    note('first')
    await settled()
    away = false
    note('second')
    await refusals.stop()
    expect(told()).toEqual(['second'])
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { level: 'error', action: 'login.failed', err: { message: 'the database is away' } },
    ])
  })

  test('is tried again where what it takes is away for a moment, in their order', async () => {
    let fails = 2
    const { lines, refusals, note, told } = refusalLog(async () => {
      if (fails-- > 0) throw dependencyErrors.away({ detail: 'It is starting.', retryAfter: 1 })
    })
    note('first')
    note('second')
    await eventually(() => told().length === 2)
    await refusals.stop()
    expect(told()).toEqual(['first', 'second'])
    expect(lines.map((line) => JSON.parse(line).level)).toEqual(['warn', 'warn'])
  })

  test('is not waited for by who stops: what is away then is lost, and that is told', async () => {
    const { lines, refusals, note } = refusalLog(() =>
      Promise.reject(dependencyErrors.away({ detail: 'It is gone.', retryAfter: 1 })),
    )
    note('first')
    await settled()
    await refusals.stop()
    expect(lines.map((line) => JSON.parse(line).level)).toEqual(['warn', 'error'])
  })

  test('is one at a time, in their order, and stopping waits for the last', async () => {
    const gates: (() => void)[] = []
    const { refusals, note, told } = refusalLog(() => new Promise((resolve) => gates.push(resolve)))
    note('first')
    note('second')
    note('second')
    let stopped = false
    const stopping = refusals.stop().then(() => {
      stopped = true
    })
    for (const expected of [['first'], ['first', 'second']]) {
      await settled()
      expect([gates.length, stopped]).toEqual([1, false])
      gates.pop()!()
      await settled()
      expect(told()).toEqual(expected)
    }
    gates.pop()!()
    await stopping
    expect(told()).toEqual(['first', 'second', 'second×1'])
  })

  test('of a flood from everywhere goes only so far in a minute, and says how much it left out', async () => {
    const { clock, lines, refusals, note, recorded, told } = refusalLog()
    for (let i = 0; i < 700; i += 1) note(`guess ${i}`)
    await settled()
    expect(recorded).toHaveLength(600)
    clock.advance(60_000)
    note('a minute later')
    await refusals.stop()
    expect(told().slice(600)).toEqual([{ 'login.failed': 100 }, 'a minute later'])
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([{ level: 'warn', actions: { 'login.failed': 100 } }])
  })

  test('leaves no count out: what was repeated while nothing more was recorded, and what was left at the end', async () => {
    const { clock, refusals, note, told } = refusalLog()
    for (let i = 0; i < 1_000; i += 1) note(`guess ${i % 500}`)
    clock.advance(60_000)
    for (let i = 0; i < 300; i += 1) note(`guess ${i}`)
    refusals.sweep()
    await settled()
    await refusals.stop()
    const one = (word: string | Record<string, number>): number =>
      typeof word === 'string'
        ? Number(word.split('×')[1] ?? 1)
        : Object.values(word).reduce((sum, count) => sum + count, 0)
    expect(told().reduce((sum, word) => sum + one(word), 0)).toBe(1_300)
    expect(told().length).toBeLessThanOrEqual(500 + 600 + 2)
    expect(told().at(-1)).toEqual({ 'login.failed': 200 })
  })

  test('is summed up within the minute after, also where nothing more comes', async () => {
    const { clock, refusals, note, told } = refusalLog()
    for (let i = 0; i < 601; i += 1) note(`guess ${i}`)
    clock.advance(60_000)
    refusals.sweep()
    await settled()
    expect(told().at(-1)).toEqual({ 'login.failed': 1 })
    await refusals.stop()
    expect(told()).toHaveLength(601)
  })
})

test('a missing permission is told by who lacked which for what', async () => {
  const { refusals, recorded } = refusalLog()
  const refused = noteAccess(refusals, audit)
  const caller = {
    kind: 'user' as const,
    userId: 'ann',
    sessionId: 's1',
    scopes: null,
    requestId: 'r1',
    address: '192.0.2.1',
    userAgent: null,
    reason: null,
  }
  refused(caller, 'role.manage', 'POST /v1/roles')
  refused({ ...caller, requestId: 'r2' }, 'role.manage', 'POST /v1/roles')
  refused({ ...caller, userId: 'bob' }, 'role.manage', 'POST /v1/roles')
  refused(caller, 'channel.manage', 'POST /v1/roles')
  refused(caller, 'role.manage', 'DELETE /v1/roles/:id')
  await refusals.stop()
  const told = recorded.map(({ actor, target, data, requestId }) => [actor.id, target, data, requestId])
  const route = { kind: 'route', id: 'POST /v1/roles' }
  expect(told).toEqual([
    ['ann', route, { permission: 'role.manage' }, 'r1'],
    ['bob', route, { permission: 'role.manage' }, 'r1'],
    ['ann', route, { permission: 'channel.manage' }, 'r1'],
    ['ann', { kind: 'route', id: 'DELETE /v1/roles/:id' }, { permission: 'role.manage' }, 'r1'],
    ['ann', route, { permission: 'role.manage', repeats: 1 }, 'r2'],
  ])
})
