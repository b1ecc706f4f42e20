import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Api, createChannel, register, sendMessage, unwrap } from '@conntext/sdk'
import { eventually, SETUP_CODE, type ServerProcess, startServerProcess } from '@conntext/testing'
import { chromiumPath, startChromium } from '@conntext/testing/browser'
import type { Session, startSession } from './runtimes/session.ts'

const chromium = chromiumPath()
const node = Bun.which('node')
// WebSocket is a global from 22 on, and behind a flag from 20.10 on.
const [major = 0, minor = 0] = node
  ? Bun.spawnSync([node, '--version']).stdout.toString().slice(1).split('.').map(Number)
  : []
const hasNode = major > 20 || (major === 20 && minor >= 10)
const flags = major < 22 ? ['--experimental-websocket'] : []
if (!hasNode) console.log('No Node of version 20.10 or later: the SDK is not tried in it.')
if (!chromium) console.log('No Chromium: the SDK is not tried in it. CONNTEXT_TEST_CHROMIUM names one.')

let server: ServerProcess
let api: Api
let directory: string
let channelId: string

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'conntext-runtimes-'))
  server = await startServerProcess()
  api = new Api({ baseUrl: server.url })
  const body = { username: 'olga', password: 'a long enough password', setupCode: SETUP_CODE }
  api.use(await unwrap(register({ client: api.client, body })))
  channelId = (await unwrap(createChannel({ client: api.client, body: { name: 'square', type: 'text' } }))).id
}, 120_000)

afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
}, 60_000)

async function bundle(name: string, target: 'node' | 'browser'): Promise<string> {
  const entry = fileURLToPath(new URL(`runtimes/${name}.ts`, import.meta.url))
  const built = await Bun.build({ entrypoints: [entry], target, format: 'esm' })
  return built.outputs[0]!.text()
}

type Spoken = { say(content: string): Promise<string>; state(): Promise<ReturnType<Session['state']>> }

/** Hears what is said, says something, loses the server, and hears once what was said while it was away. */
async function live(session: Spoken): Promise<void> {
  const post = (content: string) => unwrap(sendMessage({ client: api.client, path: { channelId }, body: { content } }))
  const marks = ['first', 'second', 'third'].map((word) => `${word} ${crypto.randomUUID()}`)
  await post(marks[0]!)
  expect(await session.say(marks[1]!)).toBe(marks[1]!)
  await server.kill('SIGTERM')
  await server.restart()
  await post(marks[2]!)
  const state = await eventually(async () => {
    const found = await session.state()
    return found.heard.includes(marks[2]!) ? found : undefined
  }, 30_000)
  expect(state).toEqual({ heard: marks, connections: [false, true] })
  expect(await session.say('again')).toBe('again')
}

const wanted = async () => ({ baseUrl: server.url, token: await api.accessToken(), channelId })

test.skipIf(!hasNode)(
  'the gateway client lives in Node',
  async () => {
    const file = join(directory, 'node.mjs')
    await Bun.write(file, await bundle('node', 'node'))
    const child = Bun.spawn([node!, ...flags, file, JSON.stringify(await wanted())], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const lines = linesOf(child.stdout)
    const next = async () => JSON.parse((await lines.next()).value as string)
    expect(await next()).toStartWith('v')
    const ask = async (words: object) => {
      child.stdin.write(`${JSON.stringify(words)}\n`)
      await child.stdin.flush()
      return next()
    }
    await live({ say: (content) => ask({ say: content }), state: () => ask({}) })
    child.stdin.end()
    // Nothing keeps it from ending once it is closed.
    expect(await child.exited).toBe(0)
  },
  90_000,
)

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = ''
  const decoder = new TextDecoder()
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop()!
    yield* lines
  }
}

test.skipIf(!chromium)(
  'the gateway client lives in a page of another origin',
  async () => {
    const script = await bundle('page', 'browser')
    using pages = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      routes: {
        '/': new Response('<!doctype html><script type="module" src="/page.js"></script>', {
          headers: { 'content-type': 'text/html' },
        }),
        '/page.js': new Response(script, { headers: { 'content-type': 'text/javascript' } }),
      },
    })
    await using browser = await startChromium(chromium!)
    const page = await browser.open(`http://127.0.0.1:${pages.port}/`)
    await page.run(
      async (given) => {
        const here = globalThis as unknown as { startSession: typeof startSession; session: Session }
        here.session = await here.startSession(given)
      },
      await wanted(),
    )
    await live({
      say: (content) =>
        page.run(async (text) => (globalThis as unknown as { session: Session }).session.say(text), content),
      state: () => page.run(async () => (globalThis as unknown as { session: Session }).session.state(), null),
    })
  },
  90_000,
)
