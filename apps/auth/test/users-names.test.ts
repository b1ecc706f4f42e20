import { describe, expect, test } from 'bun:test'
import { users } from '@conntext/db-server-details'
import { cleanEmoji, cleanName } from '@conntext/http'
import { AppError } from '@conntext/kernel'
import { eq } from 'drizzle-orm'
import { emailKey } from '../src/users/emails.ts'
import { isReservedUsername, usernameSkeleton } from '../src/users/users.ts'
import { SETUP_CODE, startAuth } from './stack.ts'

const cleaned = (text: string) => {
  try {
    return cleanName(text, { path: '/body/displayName' })
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    return { status: error.status, path: error.errors?.[0]?.path }
  }
}
const REFUSED = { status: 422, path: '/body/displayName' }

describe('a display name', () => {
  const taken: [what: string, given: string, kept: string | null][] = [
    ['in any script', 'Zoë 日本 Ελένη Алёна', 'Zoë 日本 Ελένη Алёна'],
    ['composed', 'Zoe\u0308', 'Zo\u00eb'],
    ['trimmed, with single plain spaces', ' \u00a0Ann \u3000 B.\u2003', 'Ann B.'],
    ['of nothing but space: none', ' \u00a0 ', null],
    ['with a family of emoji', 'The 👨‍👩‍👧‍👦', 'The 👨‍👩‍👧‍👦'],
    ['with skin tones and professions', '👩🏽‍🚀🧑🏿‍🤝‍🧑🏻', '👩🏽‍🚀🧑🏿‍🤝‍🧑🏻'],
    ['with flags', '🏳️‍🌈🏴‍☠️🇪🇺🏴󠁧󠁢󠁷󠁬󠁳󠁿', '🏳️‍🌈🏴‍☠️🇪🇺🏴󠁧󠁢󠁷󠁬󠁳󠁿'],
    ['with the presentation of an emoji', '❤️☎︎1️⃣', '❤️☎︎1️⃣'],
    ['in Persian, with its non-joiner', 'می\u200cخواهم', 'می\u200cخواهم'],
    ['in Hindi, with a joiner after a virama', 'क्\u200dष', 'क्\u200dष'],
    ['with a variant of an ideograph', '葛\u{e0100}', '葛\u{e0100}'],
    ['of 64 characters that take two units each', '😀'.repeat(64), '😀'.repeat(64)],
    ['that is short enough once composed', 'e\u0301'.repeat(64), '\u00e9'.repeat(64)],
  ]
  test.each(taken)('%s', (_, given, kept) => {
    expect(cleaned(given)).toBe(kept)
  })

  const refused: [what: string, given: string][] = [
    ['control characters', 'a\u0007b'],
    ['a line break', 'a\nb'],
    ['a line break at its end', 'a\n'],
    ['a line separator', 'a\u2028b'],
    ['U+0000', 'a\0b'],
    ['a turn of direction', 'a\u202egpj.exe'],
    ['an isolate', 'a\u2066b'],
    ['a direction mark', 'a\u200fb'],
    ['a zero-width space', 'a\u200bb'],
    ['a joiner between letters', 'a\u200db'],
    ['a joiner at an end', '👩\u200d'],
    ['a non-joiner between Latin letters', 'a\u200cb'],
    ['a byte-order mark', '\ufeffa'],
    ['a soft hyphen', 'a\u00adb'],
    ['a combining grapheme joiner', 'a\u034fb'],
    ['a Hangul filler', 'a\u3164'],
    ['a variation selector where there is nothing to select', 'a\ufe0f'],
    ['tags that are no flag', 'a\u{e0061}'],
    ['tags after a flag that they are not for', '🏴\u{e0061}'],
    ['an unassigned character', 'a\u0378'],
    ['a character that is none', 'a\uffff'],
    ['half a surrogate pair', 'a\ud800'],
    ['a character of private use', 'a\ue000'],
    ['an annotation', 'a\ufff9b'],
    ['nothing that can be seen: a Braille blank', '\u2800'],
    ['nothing that can be seen: a mark alone', '\u0301'],
    ['65 characters', 'x'.repeat(65)],
    ['fewer than 65 until it is composed', '\u0958'.repeat(33)],
  ]
  test.each(refused)('with %s is refused', (_, given) => {
    expect(cleaned(given)).toEqual(REFUSED)
  })

  test('is refused within bounded time, however it is made', () => {
    const began = performance.now()
    for (const part of ['\u200d', '👩\u200d', 'ا\u064b', 'ا\u200c', '\u0301', ' '])
      cleaned(part.repeat(256 / part.length))
    expect(performance.now() - began).toBeLessThan(5_000)
  })
})

test('an emoji is one, whole', () => {
  for (const emoji of ['👍', '❤️', '👩🏽‍🚀', '🏴󠁧󠁢󠁥󠁮󠁧󠁿', '🇩🇪', '1️⃣']) expect(cleanEmoji(emoji, '/')).toBe(emoji)
  expect(cleanEmoji('❤', '/')).toBe('❤️')
  for (const text of ['a', '1', '👍👍', '👍 ', '', ':)', '\u200d']) expect(() => cleanEmoji(text, '/')).toThrow()
})

describe('a user name', () => {
  test('is unique without regard to case and to what looks alike', async () => {
    await using auth = await startAuth()
    await auth.member('Morgan.01')
    for (const username of ['morgan.01', 'MORGAN.01', 'Morgan.o1', 'morgan.Ol', 'morgan.OI', 'rnorgan.01']) {
      const { status, body } = await auth.register({ username })
      expect([username, status, body.code]).toEqual([username, 409, 'registration.usernameTaken'])
    }
    expect((await auth.register({ username: 'morgan.02' })).status).toBe(201)
  })

  test('is of letters, digits and three marks of ASCII alone', async () => {
    await using auth = await startAuth()
    for (const username of [
      'a',
      '.ann',
      'ann b',
      'аnn',
      'ａnn',
      'zoë',
      'ann\u200b',
      'ann\n',
      'x'.repeat(33),
      'ann@b',
      'an:n',
    ]) {
      expect([username, (await auth.register({ username })).status]).toEqual([username, 422])
    }
    expect((await auth.register({ username: 'ann\0' })).status).toBe(422)
  })

  test('that would speak for the server, for all or for nobody is nobody’s, the owner’s neither', async () => {
    await using auth = await startAuth()
    for (const username of [
      'everyone',
      'here',
      'system',
      'SYSTEM',
      'conntext',
      'c0nntext',
      'deleted-user',
      'De1eted-user',
      'me',
    ]) {
      expect(isReservedUsername(username)).toBe(true)
      const { status, body } = await auth.register({ username, setupCode: SETUP_CODE })
      expect([username, status, body.code]).toEqual([username, 409, 'registration.usernameTaken'])
    }
    expect(isReservedUsername('admin')).toBe(false)
  })

  test('has the same skeleton here as in the migration', async () => {
    await using auth = await startAuth()
    const folder = new URL('../../../packages/db-server-details/migrations/', import.meta.url)
    const migration = await Bun.file(new URL('0002_identity.sql', folder)).text()
    const skeleton = /SELECT "id", (.+) AS "skeleton" FROM "users"/.exec(migration)![1]!
    const names = ['Morgan.01', 'O0o-1lI', 'vVVv', 'rRnN', 'RNrn', 'I_I', 'barn', 'wvvx', 'rvvn', 'Vv0rn1', 'x.-_9']
    for (const username of names) {
      const { id } = (await auth.member(username)).user
      const [row] = (await auth.database.auth.execute(
        `select ${skeleton} as skeleton from users where id = '${id}'`,
      )) as unknown as { skeleton: string }[]
      const [kept] = await auth.database.auth
        .select({ skeleton: users.usernameSkeleton })
        .from(users)
        .where(eq(users.id, id))
      expect([username, row!.skeleton, kept!.skeleton]).toEqual([
        username,
        usernameSkeleton(username),
        usernameSkeleton(username),
      ])
    }
  })
})

describe('an email address', () => {
  const same: [string, string][] = [
    ['Mike@Example.org', 'mike@example.org'],
    ['mike@ｅｘａｍｐｌｅ.org', 'mike@example.org'],
    ['mike@example。org', 'mike@example.org'],
    ['mike@BÜCHER.example', 'mike@xn--bcher-kva.example'],
    ['mike@bu\u0308cher.example', 'mike@bücher.example'],
  ]
  test.each(same)('%s is %s', (one, other) => {
    expect(emailKey(one)).toBe(emailKey(other))
  })

  // Each is made of another one's by case mappings or normal forms, or only looks like it.
  const others: [what: string, address: string][] = [
    ['dotless i', 'm\u0131ke@example.org'],
    ['dotted capital I', 'm\u0130ke@example.org'],
    ['the Kelvin sign', 'mi\u212ae@example.org'],
    ['a full-width letter', 'm\uff49ke@example.org'],
    ['a mathematical letter', 'm\u{1d422}ke@example.org'],
    ['a Cyrillic letter', 'm\u0456ke@example.org'],
    ['a zero-width space', 'mi\u200bke@example.org'],
    ['a soft hyphen', 'mi\u00adke@example.org'],
    ['a full-width @', 'mike\uff20example.org@example.org'],
    ['a line break in the domain', 'mike@exam\nple.org'],
    ['a percent-encoded domain', 'mike@ex%61mple.org'],
    ['a domain with a path', 'mike@example.org/'],
    ['a domain with a port', 'mike@example.org:25'],
    ['a Cyrillic domain', 'mike@\u0435xample.org'],
    ['two of them', 'mike@example.org@evil.example'],
  ]
  test.each(others)('with %s is another one', (_, address) => {
    expect(emailKey(address)).not.toBe(emailKey('mike@example.org'))
  })

  test('that is another one can neither be registered nor be logged in with, and no mail goes there', async () => {
    await using auth = await startAuth()
    await auth.register({ username: 'mike', email: 'mike@example.org' })
    await auth.delivered()
    const before = auth.mails.length
    for (const [what, address] of others) {
      const registered = await auth.register({ username: 'evil', email: address })
      const loggedIn = await auth.login(address)
      const body = { login: address }
      const asked = await auth.request('POST', '/v1/auth/password/request-reset', { body })
      expect([what, registered.status, loggedIn.status, asked.status]).toEqual([what, 422, 401, 202])
    }
    await auth.delivered()
    expect(auth.mails.slice(before)).toEqual([])
  })

  test('in another case finds its account, and a reset goes to the address as it was given, not as it was asked', async () => {
    await using auth = await startAuth()
    await auth.register({ username: 'mike', email: 'Mike@example.org' })
    await auth.delivered()
    const before = auth.mails.length
    expect((await auth.login('mike@EXAMPLE.org')).status).toBe(200)
    await auth.request('POST', '/v1/auth/password/request-reset', { body: { login: 'MIKE@example.org' } })
    await auth.delivered()
    expect(auth.mails.slice(before).map(({ to }) => to)).toEqual(['Mike@example.org'])
    expect((await auth.register({ username: 'other', email: 'mIKE@example.org' })).body.code).toBe(
      'registration.emailTaken',
    )
  })
})
