import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually } from '@conntext/testing'
import { createWorkerGetter, repositoryCommand } from '../src/worker/getter.ts'
import { locateWorker } from '../src/worker/locate.ts'
import { createWorkerSupervisor } from '../src/worker/supervisor.ts'

const location = await locateWorker()
const binary = location.kind === 'found' ? location.path : ''
const needsWorker = location.kind === 'found' ? test : test.skip

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'conntext-getter-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** A command that says what it is told to, then waits until a file is there, then ends. */
async function speaking(name: string, lines: string[], { until, code = 0 }: { until?: string; code?: number } = {}) {
  const script = join(folder, `${name}.ts`)
  const wait = until ? `while (!(await Bun.file(${JSON.stringify(until)}).exists())) await Bun.sleep(10)` : ''
  const says = lines.map((line) => `console.log(${JSON.stringify(line)})`)
  const counts = `require('node:fs').appendFileSync(${JSON.stringify(`${script}.runs`)}, 'x')`
  await writeFile(script, [counts, ...says, wait, `process.exit(${code})`].join('\n'))
  return { command: [process.execPath, script], runs: async () => (await Bun.file(`${script}.runs`).text()).length }
}

const locateIn = (env: Record<string, string>) => () => locateWorker({ env, packageFolder: join(folder, 'no-package') })

describe('a worker that is got while the server runs', () => {
  needsWorker('voice is starting and says how it fares, and comes alive without a restart', async () => {
    const [cache, gate] = [join(folder, 'late'), join(folder, 'gate')]
    const words = 'it is being built from source: 3 of 9 files after 2 s'
    const { command, runs } = await speaking('builds', ['noise', JSON.stringify({ words })], { until: gate })
    const target = join(folder, 'arrived')
    const supervisor = createWorkerSupervisor({
      count: 2,
      settings: { logLevel: 'none' },
      recheckMs: 60_000,
      getter: createWorkerGetter({ command }),
      locate: async () =>
        existsSync(target) ? { kind: 'found', path: target, source: 'cache' } : locateIn({ HOME: cache })(),
    })
    const started = supervisor.start()
    await eventually(() => supervisor.status().reason?.includes(words))
    expect(supervisor.status()).toMatchObject({ state: 'starting', workers: [] })
    await symlink(binary, target)
    await writeFile(gate, '')
    await started
    expect(supervisor.status()).toMatchObject({ state: 'on' })
    expect(supervisor.status()).not.toHaveProperty('reason')
    expect(await runs()).toBe(1)
    await supervisor.stop()
  })

  test('why there will be none is told with what to do about it, and is not tried again at once', async () => {
    const failure = { reason: 'There is no compiler here', remedy: 'Get one.' }
    const { command, runs } = await speaking('fails', [JSON.stringify(failure)], { code: 1 })
    const supervisor = createWorkerSupervisor({
      count: 2,
      recheckMs: 10,
      getter: createWorkerGetter({ command }),
      locate: locateIn({ HOME: join(folder, 'none') }),
    })
    await supervisor.start()
    expect(supervisor.status()).toEqual({ state: 'off', ...failure, workers: [] })
    await Bun.sleep(100)
    expect(await runs()).toBe(1)
    expect(supervisor.status()).toEqual({ state: 'off', ...failure, workers: [] })
    await supervisor.stop()
  })

  test('a failure is tried again after a while', async () => {
    const { command, runs } = await speaking('fails-twice', [], { code: 1 })
    const getter = createWorkerGetter({ command, retryMs: 20 })!
    expect(await getter.get()).toMatchObject({ remedy: expect.stringContaining('worker:build') })
    await eventually(async () => (await getter.get()) !== undefined && (await runs()) >= 2)
  })

  test('stopping ends it at once', async () => {
    const { command } = await speaking('endless', [JSON.stringify({ words: 'on it' })], {
      until: join(folder, 'never'),
    })
    const supervisor = createWorkerSupervisor({
      count: 1,
      getter: createWorkerGetter({ command }),
      locate: locateIn({ HOME: join(folder, 'none') }),
    })
    const started = supervisor.start()
    await eventually(() => supervisor.status().reason?.includes('on it'))
    await supervisor.stop()
    await started
    expect(supervisor.status()).toEqual({ state: 'off', workers: [] })
  })

  test('one that is named by MEDIASOUP_WORKER_BIN is never replaced by another', async () => {
    const { command, runs } = await speaking('unasked', [])
    const supervisor = createWorkerSupervisor({
      count: 1,
      getter: createWorkerGetter({ command }),
      locate: locateIn({ MEDIASOUP_WORKER_BIN: join(folder, 'nothing') }),
    })
    await supervisor.start()
    expect(supervisor.status()).toMatchObject({ state: 'off', reason: expect.stringContaining('MEDIASOUP_WORKER_BIN') })
    expect(await runs().catch(() => 0)).toBe(0)
    await supervisor.stop()
  })
})

describe('the repository gets it', () => {
  const command = repositoryCommand()!
  const env = (more: Record<string, string>) => {
    const { MEDIASOUP_WORKER_BIN: _, XDG_CACHE_HOME: __, ...rest } = process.env
    return { ...rest, ...more }
  }

  test('without a compiler or Debian it says so, and what to do', async () => {
    // No `apt-get`, no `g++`: only what it takes to run at all. And nobody to download from.
    const child = Bun.spawn(command, {
      env: env({
        PATH: folder,
        XDG_CACHE_HOME: join(folder, 'empty'),
        MEDIASOUP_WORKER_PREBUILT_DOWNLOAD_BASE_URL: 'http://127.0.0.1:9',
      }),
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const lines = (await new Response(child.stdout).text())
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(await child.exited).toBe(1)
    expect(lines.at(-1)).toEqual({
      reason: expect.stringContaining('the recipe to build one is for Debian 12'),
      remedy: expect.stringContaining('MEDIASOUP_WORKER_BIN'),
    })
  })

  test('without a place to keep it, it says so', async () => {
    await writeFile(join(folder, 'file'), '')
    const child = Bun.spawn(command, {
      env: env({ XDG_CACHE_HOME: join(folder, 'file') }),
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const told = JSON.parse((await new Response(child.stdout).text()).trim())
    expect(told).toEqual({
      reason: expect.stringContaining('ENOTDIR'),
      remedy: expect.stringContaining('XDG_CACHE_HOME'),
    })
  })
})
