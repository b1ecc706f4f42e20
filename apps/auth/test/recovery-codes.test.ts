import { expect, test } from 'bun:test'
import type { Problem, RecoveryCodes } from '@conntext/contracts'
import { recoveryCodes } from '@conntext/db-server-details'
import { firstStep, secondStep, withTotp } from './second-factors.ts'
import { PASSWORD, startAuth, testClock } from './stack.ts'

test('a recovery code stands in for the app, once, however it is typed', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const ann = await auth.member('ann')
  const { recoveryCodes: codes } = await withTotp(auth, clock, ann)
  expect(new Set(codes).size).toBe(10)
  for (const code of codes) expect(code).toMatch(/^[0-9a-hjkmnp-tv-z]{4}(-[0-9a-hjkmnp-tv-z]{4}){2}$/)
  const use = async (code: string) =>
    (await secondStep(auth, 'recovery-code', (await firstStep(auth, 'ann')).mfaToken, code)).status
  expect(await use(codes[0]!)).toBe(200)
  expect(await use(codes[0]!)).toBe(401)
  expect(await use(codes[1]!.toUpperCase().replaceAll('-', ' '))).toBe(200)
  expect(await use(codes[2]!.replaceAll('-', '').replaceAll('0', 'O').replaceAll('1', 'l'))).toBe(200)

  const { body } = await auth.request('GET', '/v1/auth/mfa', { token: ann.accessToken })
  expect(body).toMatchObject({ recoveryCodesLeft: 7 })
  expect(await auth.actions('mfa.recoveryCodeUsed')).toMatchObject([
    { actor: { kind: 'user', id: ann.user.id }, target: { id: ann.user.id }, data: { left: 9 } },
    { data: { left: 8 } },
    { data: { left: 7 } },
  ])
})

test('of two who use one code at once, one gets in', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const { recoveryCodes: codes } = await withTotp(auth, clock, await auth.member('ann'))
  const waiting = await Promise.all([1, 2, 3, 4].map(() => firstStep(auth, 'ann')))
  const answers = await Promise.all(
    waiting.map(({ mfaToken }) => secondStep(auth, 'recovery-code', mfaToken, codes[0]!)),
  )
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 401, 401, 401])
})

test('a code of the app is no recovery code, nor the other way round; another’s code is none', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const ann = await withTotp(auth, clock, await auth.member('ann'))
  const bob = await withTotp(auth, clock, await auth.member('bob'))
  const { mfaToken } = await firstStep(auth, 'ann')
  expect((await secondStep(auth, 'totp', mfaToken, ann.recoveryCodes[0]!)).status).toBe(401)
  expect((await secondStep(auth, 'recovery-code', mfaToken, ann.app.code())).status).toBe(401)
  expect((await secondStep(auth, 'recovery-code', mfaToken, bob.recoveryCodes[0]!)).status).toBe(401)
  expect((await secondStep(auth, 'recovery-code', mfaToken, ann.recoveryCodes[0]!)).status).toBe(200)
})

test('new ones end the old ones, take the password, and are on record', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const ann = await auth.member('ann')
  const { recoveryCodes: old } = await withTotp(auth, clock, ann)
  const renew = (password: string) =>
    auth.request<RecoveryCodes & Problem>('POST', '/v1/auth/totp/recovery-codes', {
      token: ann.accessToken,
      body: { password },
    })
  expect((await renew('not the password')).status).toBe(403)
  const { status, body } = await renew(PASSWORD)
  expect(status).toBe(200)
  expect(body.recoveryCodes).toHaveLength(10)
  expect(body.recoveryCodes.filter((code) => old.includes(code))).toEqual([])
  const { mfaToken } = await firstStep(auth, 'ann')
  expect((await secondStep(auth, 'recovery-code', mfaToken, old[0]!)).status).toBe(401)
  expect((await secondStep(auth, 'recovery-code', mfaToken, body.recoveryCodes[0]!)).status).toBe(200)
  expect(await auth.actions('mfa.recoveryCodesRenewed')).toHaveLength(1)
})

test('without a second factor there are none', async () => {
  await using auth = await startAuth()
  const { accessToken: token } = await auth.member('ann')
  const answer = await auth.request('POST', '/v1/auth/totp/recovery-codes', { token, body: { password: PASSWORD } })
  expect(answer).toMatchObject({ status: 409, body: { code: 'mfa.noFactor' } })
})

test('they are kept as keyed hashes', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const { recoveryCodes: codes } = await withTotp(auth, clock, await auth.member('ann'))
  const rows = await auth.database.auth.select().from(recoveryCodes)
  expect(rows).toHaveLength(10)
  const kept = rows.map(({ hash }) => Buffer.from(hash))
  expect(kept.every((hash) => hash.length === 32)).toBe(true)
  for (const code of codes) {
    const plain = new Bun.CryptoHasher('sha256').update(code).digest()
    expect(kept.some((hash) => hash.equals(plain))).toBe(false)
  }
})

test('the account’s owner is told by mail that one was used', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const { body: ann } = await auth.register({ username: 'ann', email: 'ann@example.org' })
  const { recoveryCodes: codes } = await withTotp(auth, clock, ann)
  expect((await secondStep(auth, 'recovery-code', (await firstStep(auth, 'ann')).mfaToken, codes[0]!)).status).toBe(200)
  await auth.delivered()
  const told = auth.mails.filter(({ subject }) => subject === 'A recovery code was used')
  expect(told.map(({ to }) => to)).toEqual(['ann@example.org'])
  expect(told[0]!.text).toContain('Left: 9.')
  expect(told[0]!.text).not.toContain(codes[0]!)
})
