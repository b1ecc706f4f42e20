import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { SETUP_CODE } from '@conntext/testing'
import { chromiumPath, startChromium } from '@conntext/testing/browser'
import { addPasskey, login, withPasskey } from './page.ts'
import { type PublicServer, startPublicServer } from './server.ts'

const path = chromiumPath()
if (path === undefined) {
  console.log('No Chromium: passkeys in a browser are not tried. CONNTEXT_TEST_CHROMIUM names one.')
}

const PASSWORD = 'a long enough password'

/** Passkeys as people use them: in a browser, with an authenticator that the browser itself plays. */
describe.skipIf(path === undefined)('passkeys in a browser', () => {
  let server: PublicServer
  let chromium: Awaited<ReturnType<typeof startChromium>>
  let origin: string

  beforeAll(async () => {
    server = await startPublicServer()
    origin = server.origin
    const { call } = server
    chromium = await startChromium(path!)
    const olga = await call('auth/register', { username: 'olga', password: PASSWORD, setupCode: SETUP_CODE })
    const invite = await call('invites', { maxUses: 1 }, olga.body.accessToken)
    await call('auth/register', { username: 'pia', password: PASSWORD, inviteCode: invite.body.code })
  }, 90_000)

  afterAll(async () => {
    await chromium?.[Symbol.asyncDispose]()
    await server?.[Symbol.asyncDispose]()
  }, 60_000)

  const account = { username: 'olga', password: PASSWORD }

  test('one is added, logs in alone, and is the second factor beside the password', async () => {
    const page = await chromium.open(`${origin}/docs`)
    const authenticator = await page.addAuthenticator()
    const added = await page.run(addPasskey, { ...account, at: origin })
    expect(added).toMatchObject({ status: 201, body: { name: 'browser' } })
    expect(added.body.recoveryCodes).toHaveLength(10)
    expect(await page.credentials(authenticator)).toHaveLength(1)

    const alone = await page.run(withPasskey, { at: origin })
    expect(alone).toMatchObject({ status: 200, body: { user: { username: 'olga', mfaEnabled: true } } })

    const first = await page.run(login, { ...account, at: origin })
    expect(first).toMatchObject({ status: 200, body: { mfaRequired: true, methods: ['recoveryCode', 'passkey'] } })
    const second = await page.run(withPasskey, { at: origin, mfaToken: first.body.mfaToken })
    expect(second).toMatchObject({ status: 200, body: { user: { username: 'olga' } } })
  }, 60_000)

  test('one that was made for this server is no use to another page, which the browser lets ask for it', async () => {
    await using other = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response('another page') })
    const home = await chromium.open(`${origin}/docs`)
    const inHome = await home.addAuthenticator()
    expect((await home.run(addPasskey, { ...account, username: 'pia', at: origin })).status).toBe(201)
    const [credential] = await home.credentials(inHome)

    // Of the same host, and so of the same domain: only the origin tells them apart.
    const page = await chromium.open(`http://localhost:${other.port}/`)
    await page.addCredential(await page.addAuthenticator(), credential!)
    expect(await page.run(withPasskey, { at: origin })).toMatchObject({
      status: 401,
      body: { code: 'login.passkeyFailed' },
    })
    expect((await home.run(withPasskey, { at: origin })).status).toBe(200)
  }, 60_000)
})
