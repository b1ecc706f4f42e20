import { describe, expect, test } from 'bun:test'
import { createHealth, type Probe } from '../src/index.ts'
import { testClock } from './support/clock.ts'

const probe = (change: Partial<Probe> = {}): Probe => ({
  name: 'database',
  critical: true,
  remedy: 'Start it.',
  run: async () => undefined,
  ...change,
})
const broken = async () => {
  throw new Error('refused')
}

describe('a service', () => {
  test('is up when all that it needs answers', async () => {
    const health = await createHealth('auth', [probe(), probe({ name: 'bus' })])()
    expect(health).toMatchObject({ service: 'auth', state: 'up' })
    expect(health.dependencies).toHaveLength(2)
    expect(health.dependencies[0]).toMatchObject({ name: 'database', state: 'up', detail: null, remedy: null })
    expect(health.dependencies[0]!.latencyMs).toBeGreaterThanOrEqual(0)
  })

  test('is down when something critical is, with what to do about it', async () => {
    const health = await createHealth('auth', [probe({ run: broken }), probe({ name: 'bus' })])()
    expect(health.state).toBe('down')
    expect(health.dependencies[0]).toMatchObject({
      state: 'down',
      latencyMs: null,
      detail: 'refused',
      remedy: 'Start it.',
    })
  })

  test('is degraded when something else is down, or something critical only ails', async () => {
    const state = async (one: Probe) => (await createHealth('auth', [one])()).state
    expect(await state(probe({ run: broken, critical: false }))).toBe('degraded')
    expect(await state(probe({ run: async () => ({ state: 'degraded', detail: 'slow' }) }))).toBe('degraded')
    expect(await state(probe({ run: async () => ({ state: 'down', detail: 'off' }) }))).toBe('down')
  })

  test('that needs nothing is up', async () => {
    expect(await createHealth('auth', [])()).toEqual({ service: 'auth', state: 'up', dependencies: [] })
  })
})

test('a probe that does not answer is down within its time, and holds up nobody else', async () => {
  const health = createHealth(
    'auth',
    [probe({ run: () => new Promise(() => {}) }), probe({ name: 'bus' })],
    testClock(),
    {
      timeoutMs: 20,
    },
  )
  const { dependencies } = await health()
  expect(dependencies.map((one) => one.state)).toEqual(['down', 'up'])
  expect(dependencies[0]!.detail).toBe('no answer within 0.02 s')
})

test('since tells when the state began, not when it was last looked at', async () => {
  const clock = testClock()
  let run: Probe['run'] = async () => undefined
  const health = createHealth('auth', [probe({ run: () => run() })], clock)
  const since = async () => (await health()).dependencies[0]!.since
  const began = await since()
  clock.advance(1000)
  expect(await since()).toBe(began)
  run = broken
  clock.advance(1000)
  const broke = await since()
  expect(Date.parse(broke) - Date.parse(began)).toBe(2000)
  clock.advance(1000)
  expect(await since()).toBe(broke)
})

test('what a failed statement was given stays out of the detail', async () => {
  const run = async () => {
    throw Object.assign(new Error('Failed query: select $1\nparams: hunter2'), {
      query: 'select $1',
      params: ['hunter2'],
    })
  }
  expect(JSON.stringify(await createHealth('auth', [probe({ run })])())).not.toContain('hunter2')
})
