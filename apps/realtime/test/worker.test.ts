import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { chmod, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cachedWorkerPath, locateWorker, packagedWorkerPath } from '../src/worker/locate.ts'
import { createWorkerSupervisor, type SupervisorOptions } from '../src/worker/supervisor.ts'

const location = await locateWorker()
const binary = location.kind === 'found' ? location.path : ''
const needsWorker = location.kind === 'found' ? test : test.skip
const suffix = location.kind === 'found' ? '' : ` (skipped: ${location.reason})`

let folder = ''
const cleanups: (() => Promise<void>)[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'conntext-worker-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

function supervise(options: SupervisorOptions = {}) {
  const supervisor = createWorkerSupervisor({ count: 1, settings: { logLevel: 'none' }, ...options })
  cleanups.push(() => supervisor.stop())
  return supervisor
}

const locateIn = (env: Record<string, string>) => () => locateWorker({ env, packageFolder: join(folder, 'no-package') })

// A machine that tests everything at once takes its time.
const BUSY = process.env.CI ? 5 : 1

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function until(what: () => boolean, limitMs = 2000 * BUSY): Promise<void> {
  const deadline = Date.now() + limitMs
  while (!what() && Date.now() < deadline) await Bun.sleep(10)
  expect(what()).toBe(true)
}

describe('locating the worker', () => {
  test('a binary named by the environment goes first', async () => {
    const named = join(folder, 'named')
    await writeFile(named, '#!/bin/sh\n', { mode: 0o755 })
    const found = await locateWorker({ env: { MEDIASOUP_WORKER_BIN: named, HOME: folder } })
    expect(found).toEqual({ kind: 'found', path: named, source: 'environment' })
  })

  test('a named file that is not executable is told, and nothing else is tried', async () => {
    const named = join(folder, 'plain')
    await writeFile(named, '', { mode: 0o644 })
    const found = await locateWorker({ env: { MEDIASOUP_WORKER_BIN: named } })
    expect(found).toMatchObject({ kind: 'missing', reason: expect.stringContaining('MEDIASOUP_WORKER_BIN') })
  })

  test('the cache goes before the package, and each must be executable', async () => {
    const env = { XDG_CACHE_HOME: join(folder, 'cache') }
    const packageFolder = join(folder, 'package')
    const packaged = packagedWorkerPath(packageFolder)
    await Bun.write(packaged, '')
    expect(await locateWorker({ env, packageFolder })).toMatchObject({ kind: 'missing' })
    await chmod(packaged, 0o755)
    expect(await locateWorker({ env, packageFolder })).toMatchObject({ path: packaged, source: 'package' })
    await Bun.write(cachedWorkerPath(env), '')
    expect(await locateWorker({ env, packageFolder })).toMatchObject({ source: 'package' })
    await chmod(cachedWorkerPath(env), 0o755)
    expect(await locateWorker({ env, packageFolder })).toMatchObject({ source: 'cache' })
  })

  test('without any it says why and what to do', async () => {
    const found = await locateIn({ HOME: join(folder, 'empty') })()
    expect(found).toMatchObject({ kind: 'missing', remedy: expect.stringContaining('worker:build') })
  })
})

describe('supervising workers', () => {
  needsWorker(`workers start, answer, and are gone after stop${suffix}`, async () => {
    const supervisor = supervise({ count: 2 })
    expect(supervisor.status()).toEqual({ state: 'off', workers: [] })
    const starting = supervisor.start()
    expect(supervisor.status().state).toBe('starting')
    await starting
    const { state, workers } = supervisor.status()
    expect(state).toBe('on')
    expect(workers).toHaveLength(2)
    for (const worker of supervisor.workers()) {
      expect((await worker.getResourceUsage()).ru_maxrss).toBeGreaterThan(0)
    }
    await supervisor.stop()
    expect(workers.filter(({ pid }) => isAlive(pid))).toEqual([])
    expect(supervisor.status()).toEqual({ state: 'off', workers: [] })
  })

  needsWorker(`a killed worker is replaced within two seconds${suffix}`, async () => {
    const supervisor = supervise({ count: 2 })
    const changes: string[] = []
    supervisor.subscribe(({ kind, worker }) => changes.push(`${kind} ${worker.pid}`))
    await supervisor.start()
    const [first, second] = supervisor.status().workers.map(({ pid }) => pid)
    process.kill(first!, 'SIGKILL')
    await until(() => supervisor.status().state === 'degraded')
    expect(supervisor.status().reason).toContain('a worker died')
    await until(() => supervisor.status().state === 'on')
    const now = supervisor.status().workers
    expect(now.map(({ pid }) => pid)).not.toContain(first!)
    expect(now).toContainEqual(expect.objectContaining({ pid: second!, restarts: 0 }))
    expect(now).toContainEqual(expect.objectContaining({ restarts: 1 }))
    expect(changes).toContain(`down ${first}`)
    expect(await supervisor.workers()[0]!.getResourceUsage()).toBeDefined()
  })

  needsWorker(`deaths in a row are answered ever more slowly, up to a bound${suffix}`, async () => {
    const supervisor = supervise({ firstBackoffMs: 40, longestBackoffMs: 160 })
    await supervisor.start()
    const waits: number[] = []
    for (let death = 0; death < 4; death += 1) {
      const killedAt = Date.now()
      process.kill(supervisor.status().workers[0]!.pid, 'SIGKILL')
      await until(() => supervisor.status().state === 'degraded')
      await until(() => supervisor.status().state === 'on')
      waits.push(Date.now() - killedAt)
    }
    for (const [index, least] of [40, 80, 160, 160].entries()) {
      expect(waits[index]).toBeGreaterThanOrEqual(least - 5)
      expect(waits[index]).toBeLessThan(least + 1000 * BUSY)
    }
  })

  needsWorker(`no signal handlers pile up, whether workers die or are closed${suffix}`, async () => {
    const count = () => process.listenerCount('SIGTERM') + process.listenerCount('SIGINT')
    const before = count()
    const supervisor = supervise({ firstBackoffMs: 10 })
    await supervisor.start()
    process.kill(supervisor.status().workers[0]!.pid, 'SIGKILL')
    await until(() => supervisor.status().state === 'degraded')
    await until(() => supervisor.status().state === 'on')
    expect(count()).toBe(before)
    await supervisor.stop()
    expect(count()).toBe(before)
  })

  needsWorker(`stop leaves nothing even while a worker is being restarted${suffix}`, async () => {
    const supervisor = supervise({ firstBackoffMs: 1 })
    await supervisor.start()
    process.kill(supervisor.status().workers[0]!.pid, 'SIGKILL')
    await Bun.sleep(5)
    await supervisor.stop()
    await Bun.sleep(200)
    expect(supervisor.workers()).toEqual([])
    await until(() => childrenNamed('mediasoup-worker').length === 0)
  })

  needsWorker(`a binary that appears later brings the workers up without a restart${suffix}`, async () => {
    const late = join(folder, 'late-worker')
    const supervisor = supervise({ recheckMs: 50, locate: locateIn({ MEDIASOUP_WORKER_BIN: late }) })
    await supervisor.start()
    expect(supervisor.status()).toMatchObject({ state: 'off', reason: expect.stringContaining(late), workers: [] })
    await symlink(binary, late)
    await until(() => supervisor.status().state === 'on')
    expect(supervisor.status()).not.toHaveProperty('reason')
    expect(await supervisor.workers()[0]!.getResourceUsage()).toBeDefined()
  })

  test('without a binary the process lives and the status says why', async () => {
    const supervisor = supervise({ locate: locateIn({ HOME: join(folder, 'empty') }) })
    await supervisor.start()
    expect(supervisor.status()).toEqual({
      state: 'off',
      reason: expect.stringContaining('no mediasoup-worker'),
      remedy: expect.stringContaining('worker:build'),
      workers: [],
    })
  })

  test('a file that is no worker is told, not started', async () => {
    const foreign = join(folder, 'foreign')
    await writeFile(foreign, 'not a program', { mode: 0o755 })
    const supervisor = supervise({ locate: locateIn({ MEDIASOUP_WORKER_BIN: foreign }) })
    await supervisor.start()
    expect(supervisor.status()).toMatchObject({ state: 'off', reason: expect.stringContaining('does not run') })
  })

  needsWorker(`one that hangs is ended and replaced, and one that answers is not${suffix}`, async () => {
    const supervisor = supervise({ count: 2, firstBackoffMs: 1, pulseMs: 1_000 })
    await supervisor.start()
    const [hangs, answers] = supervisor.workers().map(({ pid }) => pid)
    process.kill(hangs!, 'SIGSTOP')
    await until(() => !isAlive(hangs!), 20_000)
    await until(() => supervisor.workers().length === 2, 10_000)
    expect(supervisor.workers().map(({ pid }) => pid)).toContain(answers!)
  })
})

function childrenNamed(name: string): string[] {
  const { stdout } = Bun.spawnSync(['ps', '-o', 'args=', '--ppid', String(process.pid)])
  return stdout
    .toString()
    .split('\n')
    .filter((line) => line.includes(name))
}
