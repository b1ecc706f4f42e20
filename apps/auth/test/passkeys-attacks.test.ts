import { expect, test } from 'bun:test'
import {
  type Auth,
  authenticator,
  finishPasskeyLogin,
  firstStep,
  passkeyLogin,
  startPasskeyLogin,
  touchOnly,
  withPasskey,
  withTotp,
} from './second-factors.ts'
import { startAuth, testClock } from './stack.ts'

const failed = { status: 401, body: { code: 'login.passkeyFailed' } }
const secondFailed = { status: 401, body: { code: 'login.secondFactorFailed' } }

/** Ann and Bob, each with a passkey. */
async function twoPeople(auth: Auth) {
  const ann = await auth.member('ann')
  const bob = await auth.member('bob')
  return { ann, bob, hers: (await withPasskey(auth, ann)).device, his: (await withPasskey(auth, bob)).device }
}

const begin = async (auth: Auth, body: { mfaToken?: string } = {}) => (await startPasskeyLogin(auth, body)).body

test('an answer works once, for its own challenge, within five minutes', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const { hers } = await twoPeople(auth)
  const first = await begin(auth)
  const answer = hers.get(first.options)
  expect((await finishPasskeyLogin(auth, first.ceremonyToken, answer)).status).toBe(200)
  expect(await finishPasskeyLogin(auth, first.ceremonyToken, answer)).toMatchObject(failed)
  const second = await begin(auth)
  expect(await finishPasskeyLogin(auth, second.ceremonyToken, answer)).toMatchObject(failed)
  // A ceremony that was failed is over too.
  expect(await finishPasskeyLogin(auth, second.ceremonyToken, hers.get(second.options))).toMatchObject(failed)
  const third = await begin(auth)
  clock.advance(5 * 60_000)
  expect(await finishPasskeyLogin(auth, third.ceremonyToken, hers.get(third.options))).toMatchObject(failed)
  expect(await finishPasskeyLogin(auth, 'made-up', hers.get(third.options))).toMatchObject(failed)
})

test('an answer that was given twice at once is taken once', async () => {
  await using auth = await startAuth()
  const { hers } = await twoPeople(auth)
  const { ceremonyToken, options } = await begin(auth)
  const answer = hers.get(options)
  const answers = await Promise.all([1, 2, 3].map(() => finishPasskeyLogin(auth, ceremonyToken, answer)))
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 401, 401])
})

test('what an authenticator said elsewhere is refused: on another page, for another domain', async () => {
  const origin = 'https://chat.example.org'
  await using auth = await startAuth({ webauthn: { rpId: 'example.org', origins: [origin] } })
  const { device } = await withPasskey(auth, await auth.member('ann'), authenticator({}, origin))
  expect((await passkeyLogin(auth, device)).status).toBe(200)
  expect(await passkeyLogin(auth, device.copy({}, 'https://evil.example.org'))).toMatchObject(failed)

  // All is right but the domain that the authenticator signed for: the server's was another one then.
  const webauthn = { rpId: 'chat.example.org', origins: [origin] }
  await using moved = await startAuth({ db: auth.database.auth, webauthn })
  const { ceremonyToken, options } = await begin(moved)
  expect(options.rpId).toBe('chat.example.org')
  const answer = device.get({ ...options, rpId: 'example.org' })
  expect(await finishPasskeyLogin(moved, ceremonyToken, answer)).toMatchObject(failed)
  expect((await passkeyLogin(auth, device)).status).toBe(200)
})

test('a signature of another key, and an answer changed on its way, are refused', async () => {
  await using auth = await startAuth()
  const { hers, his } = await twoPeople(auth)
  const forge = async (change: (own: Answer, foreign: Answer) => Answer) => {
    const { ceremonyToken, options } = await begin(auth)
    return finishPasskeyLogin(auth, ceremonyToken, change(hers.get(options), his.get(options)))
  }
  // Bob's signature under Ann's name, in each way of putting it.
  expect(await forge((own, foreign) => ({ ...foreign, id: own.id, rawId: own.id }))).toMatchObject(failed)
  expect(
    await forge((own, { response }) => ({ ...own, response: { ...own.response, signature: response.signature } })),
  ).toMatchObject(failed)
  expect(
    await forge((own, { response: { userHandle } }) => ({
      ...own,
      response: { ...own.response, userHandle: userHandle! },
    })),
  ).toMatchObject(failed)
  // A counter that was raised on the way, a handle that was left out, a credential that nobody has.
  expect(
    await forge((own) => {
      const data = Buffer.from(own.response.authenticatorData, 'base64url')
      data.writeUInt32BE(1_000_000, 33)
      return { ...own, response: { ...own.response, authenticatorData: data.toString('base64url') } }
    }),
  ).toMatchObject(failed)
  expect(
    await forge((own) => {
      const { userHandle: _, ...response } = own.response
      return { ...own, response }
    }),
  ).toMatchObject(failed)
  expect(await forge((own) => ({ ...own, id: 'AAAA', rawId: 'AAAA' }))).toMatchObject(failed)
  expect(await forge((own) => ({ ...own, response: { ...own.response, clientDataJSON: 'AAAA' } }))).toMatchObject(
    failed,
  )
  expect((await passkeyLogin(auth, hers)).status).toBe(200)
})
type Answer = ReturnType<ReturnType<typeof authenticator>['get']>

test('alone it takes an authenticator that knows its owner', async () => {
  await using auth = await startAuth()
  const { device } = await withPasskey(auth, await auth.member('ann'))
  const { ceremonyToken, options } = await begin(auth)
  expect(options.userVerification).toBe('required')
  const answer = device.copy(touchOnly).get({ ...options, userVerification: 'preferred' })
  expect(await finishPasskeyLogin(auth, ceremonyToken, answer)).toMatchObject(failed)
  expect((await passkeyLogin(auth, device)).status).toBe(200)
})

test('a copy that was made of an authenticator is found out by its counter, and that is on record', async () => {
  await using auth = await startAuth()
  const ann = await auth.member('ann')
  const { device } = await withPasskey(auth, ann)
  const copy = device.copy()
  expect((await passkeyLogin(auth, device)).status).toBe(200)
  expect(await passkeyLogin(auth, copy)).toMatchObject({ status: 401, body: { code: 'passkey.copied' } })
  expect(await auth.refusals('login.failed', 1)).toMatchObject([
    { target: { id: ann.user.id }, data: { code: 'passkey.copied' } },
  ])
  expect((await passkeyLogin(auth, device)).status).toBe(200)
})

test('of two answers with one counter at once, one is taken', async () => {
  await using auth = await startAuth()
  const { device } = await withPasskey(auth, await auth.member('ann'))
  const copies = [device.copy(), device.copy(), device.copy()]
  const answers = await Promise.all(copies.map((copy) => passkeyLogin(auth, copy)))
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 401, 401])
})

test('an authenticator that does not count is taken at its word', async () => {
  await using auth = await startAuth()
  const { device } = await withPasskey(auth, await auth.member('ann'), authenticator({ signCounterIncrement: 0 }))
  for (let i = 0; i < 3; i++) expect((await passkeyLogin(auth, device)).status).toBe(200)
})

test('as a second factor it must be of the account that waits for it', async () => {
  await using auth = await startAuth()
  const { ann, hers, his } = await twoPeople(auth)
  const { mfaToken } = await firstStep(auth, 'ann')
  const { ceremonyToken, options } = await begin(auth, { mfaToken })
  expect(options.allowCredentials).toHaveLength(1)
  const answer = his.get({ ...options, allowCredentials: [] })
  expect(await finishPasskeyLogin(auth, ceremonyToken, answer, '192.0.2.1')).toMatchObject(secondFailed)
  expect(await auth.refusals('login.failed', 1)).toMatchObject([{ target: { id: ann.user.id } }])
  expect((await passkeyLogin(auth, hers, mfaToken)).status).toBe(200)
  // Its success was the end of the token.
  expect(await startPasskeyLogin(auth, { mfaToken })).toMatchObject(secondFailed)
})

test('the ceremony of one login does not finish another', async () => {
  await using auth = await startAuth()
  const { hers, his } = await twoPeople(auth)
  const forAnn = await begin(auth, { mfaToken: (await firstStep(auth, 'ann')).mfaToken })
  const forBob = await begin(auth, { mfaToken: (await firstStep(auth, 'bob')).mfaToken })
  expect(await finishPasskeyLogin(auth, forBob.ceremonyToken, hers.get(forAnn.options))).toMatchObject(secondFailed)
  expect(await finishPasskeyLogin(auth, forAnn.ceremonyToken, his.get(forBob.options))).toMatchObject(secondFailed)
  // What was said for a second step without knowing its owner is no login by itself.
  const alone = await begin(auth)
  const second = await begin(auth, { mfaToken: (await firstStep(auth, 'ann')).mfaToken })
  expect(await finishPasskeyLogin(auth, alone.ceremonyToken, hers.get(second.options))).toMatchObject(failed)
})

test('a login that waits is tried five times with a passkey, like with a code', async () => {
  await using auth = await startAuth()
  const { hers, his } = await twoPeople(auth)
  const { mfaToken } = await firstStep(auth, 'ann')
  for (let i = 0; i < 5; i++) {
    const { ceremonyToken, options } = await begin(auth, { mfaToken })
    expect(await finishPasskeyLogin(auth, ceremonyToken, his.get({ ...options, allowCredentials: [] }))).toMatchObject(
      secondFailed,
    )
  }
  expect(await passkeyLogin(auth, hers, mfaToken)).toMatchObject(secondFailed)
})

test('the way in tells nobody who is here, nor who has a passkey', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const shapeOf = async () => {
    const { options, ceremonyToken } = await begin(auth)
    return { ...options, challenge: options.challenge.length, token: ceremonyToken.length }
  }
  const empty = await shapeOf()
  await twoPeople(auth)
  expect(await shapeOf()).toEqual(empty)
  expect(empty.allowCredentials).toEqual([])

  await withTotp(auth, clock, await auth.member('cora'))
  const { mfaToken } = await firstStep(auth, 'cora')
  const none = await startPasskeyLogin(auth, { mfaToken })
  const unknown = await startPasskeyLogin(auth, { mfaToken: 'made-up' })
  expect(none).toMatchObject(secondFailed)
  const { requestId: _, ...first } = none.body
  const { requestId: __, ...second } = unknown.body
  expect(first).toEqual(second)
})

test('an address that fails too often has to wait', async () => {
  await using auth = await startAuth({ clock: testClock() })
  const { hers } = await twoPeople(auth)
  const { options } = await begin(auth)
  const answer = hers.get(options)
  const guess = () => finishPasskeyLogin(auth, 'made-up', answer, '192.0.2.1')
  for (let i = 0; i < 20; i++) expect(await guess()).toMatchObject(failed)
  expect(await guess()).toMatchObject({ status: 429, body: { code: 'login.throttled' } })
  expect((await startPasskeyLogin(auth, {}, '192.0.2.1')).status).toBe(429)
})
