import { fileURLToPath } from 'node:url'
import { answerWithin } from '@conntext/kernel'
import { Api, createChannel, listRoles, register, type Tokens, unwrap, updateServer } from '@conntext/sdk'
import { eventually, SETUP_CODE } from '@conntext/testing'
import { type Page, startChromium } from '../browser/chromium.ts'
import type { Given, Person } from './person.ts'

const FLAGS = [
  // A camera and a microphone that need no hardware, nobody to ask, and a screen without one.
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
  '--auto-accept-this-tab-capture',
  '--autoplay-policy=no-user-gesture-required',
  // All pages but one are behind others.
  '--disable-renderer-backgrounding',
  '--disable-background-timer-throttling',
  '--disable-backgrounding-occluded-windows',
  // Everything is on this machine.
  '--allow-loopback-in-peer-connection',
]
/** For a page that does what it is asked to, or says that it can't. */
const ANSWER_MS = 20_000
const PASSWORD = 'a long enough password'

/** What the server of a test of calls is told: the media stays on this machine. */
export const VOICE_SETTINGS = { CONNTEXT_VOICE_LISTEN_ADDRESSES: '127.0.0.1', CONNTEXT_VOICE_WORKERS: '1' }

/** Somebody in a page of their own: what can be asked of a `Person` there. */
export type Player = {
  [K in keyof Person]: Person[K] extends (...words: infer W) => Promise<infer T> ? (...words: W) => Promise<T> : never
} & { name: string; userId: string; api: Api; page: Page }

export type Stage = {
  owner: Api
  everyoneId: string
  /** A voice channel. */
  channel(name: string): Promise<string>
  /** Somebody new, who is connected from a page of their own. */
  enter(name: string, options?: Pick<Given, 'options' | 'gateways'>): Promise<Player>
  [Symbol.asyncDispose](): Promise<void>
}

/** A server's people in the pages of one browser. */
export async function setStage(baseUrl: string, chromiumPath: string, flags: string[] = []): Promise<Stage> {
  const script = await bundle()
  const pages = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    routes: {
      '/': new Response('<!doctype html><title>call</title><script type="module" src="/person.js"></script>', {
        headers: { 'content-type': 'text/html' },
      }),
      '/person.js': new Response(script, { headers: { 'content-type': 'text/javascript' } }),
    },
  })
  const chromium = await startChromium(chromiumPath, [...FLAGS, ...flags])
  const owner = await account(baseUrl, 'olga', { setupCode: SETUP_CODE })
  const as = { client: owner.client, headers: { 'X-Audit-Reason': 'a test' } }
  await unwrap(updateServer({ ...as, body: { registrationMode: 'open' } }))
  const everyone = (await unwrap(listRoles({ client: owner.client }))).items.find((role) => role.position === 0)!
  return {
    owner,
    everyoneId: everyone.id,
    channel: async (name) => (await unwrap(createChannel({ client: owner.client, body: { name, type: 'voice' } }))).id,
    async enter(name, options) {
      const api = await account(baseUrl, name, {})
      const page = await chromium.open(`http://127.0.0.1:${pages.port}/`)
      return player({ name, api, page, given: { baseUrl, tokens: api.tokens!, ...options } })
    },
    async [Symbol.asyncDispose]() {
      await chromium[Symbol.asyncDispose]()
      await pages.stop(true)
    },
  }
}

async function bundle(): Promise<string> {
  const entry = fileURLToPath(new URL('person.ts', import.meta.url))
  const built = await Bun.build({ entrypoints: [entry], target: 'browser', format: 'esm' })
  return built.outputs[0]!.text()
}

async function account(baseUrl: string, username: string, extra: object): Promise<Api> {
  const api = new Api({ baseUrl })
  const answer = await unwrap(register({ client: api.client, body: { username, password: PASSWORD, ...extra } }))
  api.use(answer as Tokens)
  return api
}

type Playing = { name: string; api: Api; page: Page; given: Given }

async function player({ name, api, page, given }: Playing): Promise<Player> {
  type Here = {
    start(given: Given): Promise<string>
    person: Record<string, (...words: unknown[]) => Promise<unknown>>
  }
  await eventually(() => page.run(async () => 'start' in globalThis, null))
  const userId = await page.run(async (words) => (globalThis as unknown as Here).start(words), given)
  const ask = (method: string, words: unknown[]) =>
    answerWithin(ANSWER_MS, () =>
      page.run(async (asked) => (globalThis as unknown as Here).person[asked.method]!(...asked.words), {
        method,
        words,
      }),
    )
  return new Proxy({ name, userId, api, page } as Player, {
    get: (known, key: string) => {
      if (key in known || key === 'then') return known[key as keyof Player]
      return (...words: unknown[]) => ask(key, words)
    },
  })
}
