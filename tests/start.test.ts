import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Api, createChannel, ProblemError, register, sendMessage, unwrap } from '@conntext/sdk'
import { eventually, type ServerProcess, startServerProcess } from '@conntext/testing'
import { aliveOf, processesUnder, treeOf } from './start/processes.ts'
import { enter } from './websocket/client.ts'

const MAIN = fileURLToPath(new URL('../apps/server/src/main.ts', import.meta.url))
const PASSWORD = 'a long enough password'
// The promise is five seconds, on a machine that has nothing else to do.
const WARM_START_MS = process.env.CI ? 60_000 : 15_000
const GONE_WITHIN_MS = process.env.CI ? 30_000 : 10_000

/** Runs the server where it must not start; answers how that ended. */
async function startInVain(env: Record<string, string>): Promise<{ code: number; output: string }> {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('CONNTEXT_'))
  const child = Bun.spawn([process.execPath, MAIN], {
    env: { ...Object.fromEntries(inherited), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
  return { code: await child.exited, output: output.join('\n') }
}

async function scratch() {
  const path = await mkdtemp(join(tmpdir(), 'conntext-start-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

/** What is told to an operator: in words, and not where in the code. */
const plain = (output: string) => {
  expect(output).not.toMatch(/\bat \S+ \(|\.ts:\d+/)
  return output
}

const registerWith = (server: ServerProcess, username: string, setupCode: string) =>
  unwrap(
    register({ client: new Api({ baseUrl: server.url }).client, body: { username, password: PASSWORD, setupCode } }),
  )

describe('what keeps it from starting is said in a few words', () => {
  test('a bad configuration: every fault at once, by name, and no value', async () => {
    await using directory = await scratch()
    const data = join(directory.path, 'data')
    const { code, output } = await startInVain({
      CONNTEXT_DATA: data,
      CONNTEXT_PORT: 'secret-1',
      CONNTEXT_RATE_ACCOUNT: '-22222',
      CONNTEXT_SETUP_CODE: 'q3x',
      CONNTEXT_LOG_LEVEL: 'secret-4',
      CONNTEXT_CORS_ORIGINS: 'secret-5',
      CONNTEXT_CLICKHOUSE_URL: 'secret-6',
      CONNTEXT_COMPRESSION: 'secret-7',
    })
    expect(code).toBe(1)
    const names = ['PORT', 'RATE_ACCOUNT', 'SETUP_CODE', 'LOG_LEVEL', 'CORS_ORIGINS', 'CLICKHOUSE_URL', 'COMPRESSION']
    for (const name of names) expect(plain(output)).toMatch(new RegExp(`^  CONNTEXT_${name}: `, 'm'))
    expect(output).not.toMatch(/secret|22222|q3x/)
    expect(existsSync(data)).toBe(false)
  })

  test('a configuration file that is not there', async () => {
    const { code, output } = await startInVain({ CONNTEXT_CONFIG: '/nowhere/conntext.env' })
    expect(code).toBe(1)
    expect(plain(output)).toContain('CONNTEXT_CONFIG')
  })

  test('a configuration file that is none', async () => {
    const { code, output } = await startInVain({ CONNTEXT_CONFIG: tmpdir() })
    expect(code).toBe(1)
    expect(plain(output)).toContain("CONNTEXT_CONFIG: names a file that can't be read (EISDIR)")
  })

  test('a ClickHouse that is not there', async () => {
    await using directory = await scratch()
    const { code, output } = await startInVain({
      CONNTEXT_DATA: join(directory.path, 'data'),
      CONNTEXT_PORT: '0',
      CONNTEXT_CLICKHOUSE_URL: 'http://127.0.0.1:9',
    })
    expect(code).toBe(1)
    expect(plain(output)).toContain('CONNTEXT_CLICKHOUSE_URL')
  }, 60_000)

  test('a data directory that is a file, or somebody else’s', async () => {
    await using directory = await scratch()
    const file = join(directory.path, 'file')
    await writeFile(file, 'mine')
    for (const data of [file, directory.path, join(file, 'below')]) {
      const { code, output } = await startInVain({ CONNTEXT_DATA: data, CONNTEXT_PORT: '0' })
      expect([data, code]).toEqual([data, 1])
      expect(plain(output)).toContain(data)
    }
  })

  test('a port that is taken, or an address of others; the databases that were started are stopped again', async () => {
    await using directory = await scratch()
    await using other = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response() })
    const data = join(directory.path, 'data')
    const env = { CONNTEXT_DATA: data, CONNTEXT_PORT: String(other.port), CONNTEXT_HOST: '127.0.0.1' }
    const taken = await startInVain(env)
    expect(taken.code).toBe(1)
    expect(plain(taken.output)).toContain(`CONNTEXT_PORT: port ${other.port} is taken`)
    const elsewhere = await startInVain({ ...env, CONNTEXT_PORT: '0', CONNTEXT_HOST: '203.0.113.9' })
    expect(elsewhere.code).toBe(1)
    expect(plain(elsewhere.output)).toContain('CONNTEXT_HOST: 203.0.113.9 is no address')
    expect(processesUnder(data)).toEqual([])
  }, 60_000)
})

describe('a new server', () => {
  let server: ServerProcess

  beforeAll(async () => {
    server = await startServerProcess({ CONNTEXT_SETUP_CODE: '', CONNTEXT_LOG_LEVEL: 'debug' })
  }, 60_000)
  afterAll(async () => server?.[Symbol.asyncDispose](), 60_000)

  test('what it keeps is not for others to read', () => {
    const mode = (path: string) => (statSync(join(server.data, path)).mode & 0o777).toString(8)
    const secrets = readdirSync(join(server.data, 'secrets'))
    expect(secrets.sort()).toEqual(['master-key', 'postgres-password', 'setup-code'])
    for (const secret of secrets) expect([secret, mode(`secrets/${secret}`)]).toEqual([secret, '600'])
    const directories = readdirSync(server.data, { withFileTypes: true }).filter((entry) => entry.isDirectory())
    expect(directories.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['clickhouse', 'media', 'postgres', 'secrets']),
    )
    for (const { name } of directories) expect([name, mode(name)]).toEqual([name, '700'])
    // For root, whose Postgres runs under another account, others may pass through; they can't list it.
    expect(mode('.')).toBe(process.getuid?.() === 0 ? '711' : '700')
    for (const { name } of readdirSync(server.data, { withFileTypes: true }).filter((entry) => entry.isFile())) {
      expect([name, mode(name)]).toEqual([name, '600'])
    }
  })

  test('is left alone by a second one on the same data, which does not start', async () => {
    const { code, output } = await startInVain({ CONNTEXT_DATA: server.data, CONNTEXT_PORT: '0' })
    expect(code).toBe(1)
    expect(plain(output)).toContain('is in use by another ConnText server')
    expect(output).toContain(String(server.pid))
    expect((await fetch(`${server.url}/readyz`)).status).toBe(200)
  }, 60_000)

  test('shows its setup code once; it works once, of many who come with it at once, and nothing else will do', async () => {
    // It goes to another stream than what the start is known by.
    const code = await eventually(() => /^setup code: (\S+)$/m.exec(server.output())?.[1])
    expect(server.output().split(code)).toHaveLength(2)
    await server.kill('SIGTERM')
    await server.restart()
    await eventually(() => server.output().includes('has no owner yet'))
    expect(server.output()).not.toContain(code)

    const refused = { code: 'registration.setupCodeWrong', status: 403 }
    const wrong = registerWith(server, 'eve', `${code}x`)
    await expect(wrong).rejects.toMatchObject(refused)
    await expect(wrong).rejects.toBeInstanceOf(ProblemError)
    const settled = await Promise.allSettled(
      Array.from({ length: 8 }, (_, i) => registerWith(server, `user-${i}`, code)),
    )
    const owners = settled.flatMap((one) => (one.status === 'fulfilled' ? one.value.user.isOwner : []))
    expect(owners).toEqual([true])
    await expect(registerWith(server, 'eve', code)).rejects.toMatchObject(refused)
    expect(existsSync(join(server.data, 'secrets/setup-code'))).toBe(false)

    await server.kill('SIGTERM')
    await server.restart()
    await expect(registerWith(server, 'eve', code)).rejects.toMatchObject(refused)
    expect(server.output()).not.toContain('has no owner yet')
    expect(server.output()).not.toContain(code)
  }, 120_000)

  test("does not start with another one's master key", async () => {
    await server.kill('SIGTERM')
    await writeFile(join(server.data, 'secrets', 'master-key'), Buffer.alloc(32, 7).toString('base64url'))
    const { code, output } = await startInVain({ CONNTEXT_DATA: server.data, CONNTEXT_PORT: '0' })
    expect(code).toBe(1)
    expect(plain(output)).toContain('Start with the master key that belongs to this database')
  }, 60_000)
})

test('a first start that is killed, at whatever moment, is made good by the next', async () => {
  await using directory = await scratch()
  const env = {
    ...process.env,
    CONNTEXT_DATA: join(directory.path, 'data'),
    CONNTEXT_PORT: '0',
    CONNTEXT_VOICE_PORT: '0',
    CONNTEXT_SETUP_CODE: '',
  }
  const launch = () => Bun.spawn([process.execPath, MAIN], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  for (const ms of [250, 600, 900, 1_300, 1_900]) {
    const child = launch()
    await Bun.sleep(ms)
    child.kill('SIGKILL')
    await child.exited
  }
  const child = launch()
  let output = ''
  // To its end: whom nobody listens to is ended by what it says next.
  const reading = (async () => {
    const decoder = new TextDecoder()
    for await (const chunk of child.stderr) output += decoder.decode(chunk, { stream: true })
  })()
  await eventually(() => output.includes('ready after') || child.exitCode !== null, WARM_START_MS)
  expect(output).toContain('ready after')
  expect(output).toMatch(/the setup code is in|the setup code below/)
  child.kill('SIGTERM')
  expect(await child.exited).toBe(0)
  await reading
}, 180_000)

describe('how it ends', () => {
  test('killed: everything that it started is gone soon, and what was said is there after a warm start', async () => {
    await using server = await startServerProcess()
    const account = await registerWith(server, 'olga', 'setup-code-of-a-test')
    const { client } = new Api({ baseUrl: server.url, tokens: account })
    const channel = await unwrap(createChannel({ client, body: { name: 'kept', type: 'text' } }))
    const path = { channelId: channel.id }
    const message = await unwrap(sendMessage({ client, path, body: { content: 'before the end' } }))
    // The media workers come up after the server does.
    const family = await eventually(() => {
      const found = treeOf(server.pid)
      const up = ['postgres', 'mediasoup-worker'].every((name) => found.some((one) => one.command.includes(name)))
      return up ? found : undefined
    }, 30_000)
    expect(processesUnder(server.data)).not.toEqual([])
    await server.kill('SIGKILL')
    await eventually(() => aliveOf(family).length === 0 && processesUnder(server.data).length === 0, GONE_WITHIN_MS)

    const began = performance.now()
    await server.restart()
    const took = performance.now() - began
    console.log(`warm start after a kill: ready after ${Math.round(took)} ms`)
    expect(took).toBeLessThan(WARM_START_MS)
    const answer = await fetch(`${server.url}/v1/channels/${channel.id}/messages/${message.id}`, {
      headers: { authorization: `Bearer ${account.accessToken}` },
    })
    expect(await answer.json()).toMatchObject({ id: message.id, content: 'before the end' })
  }, 120_000)

  test.each(['SIGTERM'] as const)(
    '%s: clients are sent away, the exit code is 0, nothing is left',
    async (signal) => {
      await using server = await startServerProcess()
      const account = await registerWith(server, 'olga', 'setup-code-of-a-test')
      const socket = await enter(server.url, account.accessToken)
      const family = treeOf(server.pid)
      expect(processesUnder(server.data)).not.toEqual([])
      const began = performance.now()
      expect(await server.kill(signal)).toBe(0)
      const stopped = performance.now() - began
      console.log(`stopped after ${Math.round(stopped)} ms`)
      expect(stopped).toBeLessThan(GONE_WITHIN_MS)
      expect(await socket.code()).toBe(1001)
      expect(socket.frames.some(({ op }) => op === 'reconnect')).toBe(true)
      expect(aliveOf(family)).toEqual([])
      expect(processesUnder(server.data)).toEqual([])
      const restarted = performance.now()
      await server.restart()
      const took = performance.now() - restarted
      console.log(`warm start: ready after ${Math.round(took)} ms`)
      expect(took).toBeLessThan(WARM_START_MS)
    },
    120_000,
  )
})
