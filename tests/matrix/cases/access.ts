import { createHmac } from 'node:crypto'
import type { Operation } from '../document.ts'
import type { Scene } from '../scene.ts'
import { because, type Case, header, type Subject } from './case.ts'
import { othersThings } from './others.ts'

const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

/**
 * Tokens that were never good, or are no more. One that has expired can't be had from outside within a test's time (they
 * live for five minutes): the auth service's own tests have a clock for that.
 */
function badTokens({ owner, member, gone }: Scene): Record<string, string> {
  const [head = '', payload = '', signature = ''] = member.token.split('.')
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
  const later = part({ ...claims, exp: claims.exp + 3600 })
  const hs256 = part({ ...JSON.parse(Buffer.from(head, 'base64url').toString()), alg: 'HS256' })
  const forged = `${hs256}.${payload}`
  return {
    'no token at all': 'abc',
    'an empty JWT': '..',
    'a JWT of nonsense': 'YQ.YQ.YQ',
    'an unsigned JWT': `${part({ alg: 'none', typ: 'JWT' })}.${payload}.`,
    'a signature that is missing': `${head}.${payload}.`,
    'a signature of another token': `${head}.${payload}.${owner.token.split('.')[2]}`,
    'somebody else in the payload': `${head}.${part({ ...claims, sub: owner.id })}.${signature}`,
    'a later expiry in the payload': `${head}.${later}.${signature}`,
    'a key of our own choice': `${forged}.${createHmac('sha256', 'secret').update(forged).digest('base64url')}`,
    'a refresh token': member.refreshToken,
    'a session that has ended': gone.token,
    '8 KB of token': 'a'.repeat(8192),
  }
}

const badHeaders: Record<string, string> = {
  'an empty Authorization': '',
  'Authorization without a token': 'Bearer',
  'Authorization without a scheme': 'eyJhbGciOiJFZERTQSJ9.e30.YQ',
  'Authorization of another scheme': 'Basic b2xnYTpwYXNzd29yZA==',
  'two tokens in one': 'Bearer a b',
}

/** Who may not: 401 for strangers, 403 for those without the permission, 404 where they may not even know. */
export function accessCases(subject: Subject): Case[] {
  const { operation, scene } = subject
  const expect = operation.permission === 'public' ? 'success' : 401
  const unknown: Case[] = [
    { name: 'without a token', expect, change: () => ({ token: undefined }) },
    ...Object.entries(badTokens(scene)).map(
      ([name, token]): Case => ({ name: `with ${name}`, expect, change: () => ({ token }) }),
    ),
    ...Object.entries(badHeaders).map(
      ([name, value]): Case => ({
        name: `with ${name}`,
        expect,
        change: (ask) => ({ token: undefined, ...header('authorization', value)(ask) }),
      }),
    ),
  ]
  return [...unknown, ...permissionCases(subject), ...(othersThings[operation.id]?.(scene) ?? [])]
}

function permissionCases({ operation, good, scene }: Subject): Case[] {
  const { stranger, member, channels, messages } = scene
  const cases: Case[] = [...standingCases(operation, scene)]
  // Whoever takes part in a conversation may do what one does there, whatever their roles.
  const isByRoles = !operation.path.startsWith('/v1/dms')
  if (isByRoles && !['public', 'member', 'account', 'self', 'channel.view'].includes(operation.permission)) {
    cases.push({
      name: 'without the permission',
      expect: 403,
      change: () => ({ token: stranger.token }),
      also: because('access.forbidden'),
    })
  }
  if (!('channelId' in good.path)) return cases
  const hidden = { channelId: channels.hidden.id, ...(good.path.messageId ? { messageId: messages.hidden.id } : {}) }
  const path = { ...good.path, ...hidden }
  for (const [who, { token }] of Object.entries({ stranger, member })) {
    cases.push({
      name: `in a channel hidden from a ${who}`,
      expect: 404,
      change: () => ({ token, path }),
      also: because('channel.notFound'),
    })
  }
  return cases
}

/** Who has an account and is no member; and who comes with an API token, which may do whatever its bearer may. */
function standingCases({ permission }: Operation, { left, apiToken }: Scene): Case[] {
  if (permission === 'public') return []
  const one = (name: string, token: string, refusal?: string): Case => ({
    name,
    expect: refusal === undefined ? 'success' : 403,
    change: () => ({ token }),
    also: refusal === undefined ? () => [] : because(refusal),
  })
  if (permission === 'account') return [one('with an API token', apiToken.token, 'access.notForTokens')]
  if (permission === 'self') return [one('by who has left', left.token), one('with an API token', apiToken.token)]
  return [one('by who has left', left.token, 'access.notAMember'), one('with an API token', apiToken.token)]
}
