import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { eventually, SETUP_CODE } from '@conntext/testing'
import { chromiumPath, type Page, startChromium } from '@conntext/testing/browser'
import { followHash, mailPage, refuseCalls } from './page.ts'
import { type PublicServer, startPublicServer } from './server.ts'

const path = chromiumPath()
if (path === undefined) {
  console.log('No Chromium: the pages that mails link to are not tried. CONNTEXT_TEST_CHROMIUM names one.')
}

const OLD = 'a long enough password'
const NEW = 'and another one, longer'

/** From the mail to the outcome, with the keyboard alone. */
describe.skipIf(path === undefined)('the pages that mails link to', () => {
  let server: PublicServer
  let chromium: Awaited<ReturnType<typeof startChromium>>
  let origin: string
  let accessToken: string

  beforeAll(async () => {
    server = await startPublicServer()
    origin = server.origin
    chromium = await startChromium(path!)
    const olga = { username: 'olga', email: 'olga@example.org', password: OLD, setupCode: SETUP_CODE }
    accessToken = (await server.call('auth/register', olga)).body.accessToken
    const headers = { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' }
    const body = JSON.stringify({ name: 'The <b>Harbour</b>' })
    expect((await fetch(`${origin}/v1/server`, { method: 'PATCH', headers, body })).status).toBe(200)
  }, 90_000)

  afterAll(async () => {
    await chromium?.[Symbol.asyncDispose]()
    await server?.[Symbol.asyncDispose]()
  }, 60_000)

  /** The link of the last such mail, which the server has printed for want of a mail server. */
  const linkTo = (page: string) =>
    eventually(() => [...server.server.output().matchAll(new RegExp(`${origin}/${page}#token=\\S+`, 'g'))].at(-1)?.[0])

  const isVerified = async () => {
    const response = await fetch(`${origin}/v1/users/@me`, { headers: { authorization: `Bearer ${accessToken}` } })
    return ((await response.json()) as { emailVerified: boolean }).emailVerified
  }

  const look = (page: Page) => page.run(mailPage, null)

  /** What the page tells once it is done with what was asked of it. */
  const outcome = (page: Page) =>
    eventually(async () => {
      const seen = await look(page)
      return seen.outcome === '' || seen.outcome === 'One moment …' ? undefined : seen
    })

  const pressAll = async (page: Page, ...keys: Parameters<Page['press']>[0][]) => {
    for (const key of keys) await page.press(key)
  }

  test('an address is verified by who says so, not by what merely opens the link', async () => {
    const link = await linkTo('verify-email')
    const page = await chromium.open(link)
    const seen = await eventually(async () => {
      const now = await look(page)
      return now.server ? now : undefined
    })
    expect(seen).toMatchObject({
      address: `${origin}/verify-email`,
      title: 'Verify your email address · The <b>Harbour</b>',
      server: 'The <b>Harbour</b>',
      form: true,
      outcome: '',
      styled: true,
      called: [`${origin}/v1/server`],
    })
    expect(await isVerified()).toBe(false)

    await pressAll(page, 'Tab', 'Enter')
    expect(await outcome(page)).toMatchObject({
      form: false,
      focus: 'outcome',
      outcome: expect.stringContaining('is verified'),
    })
    expect(await isVerified()).toBe(true)
    expect((await look(page)).called).toEqual([`${origin}/v1/server`, `${origin}/v1/auth/email/verify`])

    // The link once more, in the same tab: nothing is loaded, and yet the token goes at once.
    await page.run(followHash, new URL(link).hash)
    await eventually(async () => (await look(page)).form)
    expect((await look(page)).address).toBe(`${origin}/verify-email`)
    await pressAll(page, 'Tab', 'Enter')
    expect(await outcome(page)).toMatchObject({ form: false, outcome: expect.stringContaining('wrong or no longer') })
  }, 60_000)

  test('a link without its token is not whole', async () => {
    for (const name of ['verify-email', 'reset-password']) {
      const page = await chromium.open(`${origin}/${name}#nothing`)
      const seen = { form: false, address: `${origin}/${name}`, outcome: expect.stringContaining('not whole') }
      expect(await look(page)).toMatchObject(seen)
    }
  }, 60_000)

  test('a password is set by mail, and is the one to log in with', async () => {
    await server.call('auth/password/request-reset', { login: 'olga' })
    const page = await chromium.open(await linkTo('reset-password'))
    expect(await look(page)).toMatchObject({ address: `${origin}/reset-password`, form: true, focus: '' })

    await pressAll(page, 'Tab')
    await page.type('short')
    await pressAll(page, 'Enter')
    expect(await look(page)).toMatchObject({
      focus: 'password',
      fields: [
        { type: 'password', invalid: 'true', fault: 'Choose at least 8 characters.' },
        { fault: expect.stringContaining('not the same') },
      ],
    })

    const type = async (password: string, again: string) => {
      await page.run(async () => document.querySelector('form')!.reset(), null)
      await page.run(async () => document.getElementById('password')!.focus(), null)
      await page.type(password)
      await pressAll(page, 'Tab')
      await page.type(again)
    }
    await type(NEW, `${NEW}.`)
    await pressAll(page, 'Enter')
    expect(await look(page)).toMatchObject({
      focus: 'repeated',
      fields: [
        { invalid: null, fault: '' },
        { invalid: 'true', fault: 'This is not the same password.' },
      ],
    })
    // The page asks for the server's name by itself, and for nothing before the passwords are the same.
    await eventually(async () => (await look(page)).called.length > 0)
    expect((await look(page)).called).toEqual([`${origin}/v1/server`])

    await type('x'.repeat(257), 'x'.repeat(257))
    await pressAll(page, 'Enter')
    const refused = await eventually(async () => {
      const now = await look(page)
      return now.focus === 'password' ? now : undefined
    })
    expect(refused.fields).toMatchObject([
      { invalid: 'true', fault: expect.stringContaining('8 to 256') },
      { fault: '' },
    ])

    await type(NEW, NEW)
    await pressAll(page, 'Tab', ' ')
    expect((await look(page)).fields).toMatchObject([{ type: 'text' }, { type: 'text' }])
    await pressAll(page, ' ')
    expect((await look(page)).fields).toMatchObject([{ type: 'password' }, { type: 'password' }])
    await pressAll(page, ' ', 'Tab', 'Enter')
    expect(await outcome(page)).toMatchObject({
      form: false,
      focus: 'outcome',
      outcome: expect.stringContaining('new password is set'),
      fields: [
        { type: 'password', value: '' },
        { type: 'password', value: '' },
      ],
    })
    expect((await server.call('auth/login', { login: 'olga', password: OLD })).status).toBe(401)
    expect((await server.call('auth/login', { login: 'olga', password: NEW })).status).toBe(200)
  }, 60_000)

  const submit = async (page: Page) => {
    await pressAll(page, 'Tab')
    await page.type(NEW)
    await pressAll(page, 'Tab')
    await page.type(NEW)
    await pressAll(page, 'Enter')
  }

  test('a wrong token is told from a server that asks to wait and one that is away, which keep the form', async () => {
    for (const token of ['made-up', 'x'.repeat(513)]) {
      const page = await chromium.open(`${origin}/reset-password#token=${token}`)
      await submit(page)
      expect(await outcome(page)).toMatchObject({ form: false, outcome: expect.stringContaining('wrong or no longer') })
    }
    const answers = {
      '429 90': 'Try again in 2 minutes.',
      '429 1': 'Try again in 1 second.',
      '429 ': 'Try again in a few minutes.',
      '503 1': 'does not answer as it should',
    }
    for (const [answer, told] of Object.entries(answers)) {
      const page = await chromium.open(`${origin}/reset-password#token=made-up`)
      await page.run(refuseCalls, answer)
      await submit(page)
      expect(await outcome(page)).toMatchObject({ form: true, outcome: expect.stringContaining(told) })
    }
    const page = await chromium.open(`${origin}/reset-password#token=made-up`)
    await server.server.kill('SIGTERM')
    await submit(page)
    expect(await outcome(page)).toMatchObject({ form: true, outcome: expect.stringContaining('cannot be reached') })
  }, 60_000)
})
