import { fileURLToPath } from 'node:url'
import { answerWithin } from '@conntext/kernel'
import { Api, createChannel, listRoles, register, type Tokens, unwrap, updateServer } from '@conntext/sdk'
import { eventually, SETUP_CODE } from '@conntext/testing'
import { CALL_FLAGS, type Page, servePage, startChromium } from '@conntext/testing/browser'
import type { Given, Person } from './person.ts'

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
  const pages = await servePage(fileURLToPath(new URL('person.ts', import.meta.url)))
  const chromium = await startChromium(chromiumPath, [...CALL_FLAGS, ...flags])
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
      const page = await chromium.open(pages.url)
      return player({ name, api, page, given: { baseUrl, tokens: api.tokens!, ...options } })
    },
    async [Symbol.asyncDispose]() {
      await chromium[Symbol.asyncDispose]()
      await pages[Symbol.asyncDispose]()
    },
  }
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
