import { createHmac } from 'node:crypto'
import type { Scene } from '../scene.ts'
import { because, type Case, header, type Subject } from './case.ts'

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
  const cases: Case[] = []
  if (!['public', 'member', 'channel.view'].includes(operation.permission)) {
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

/** Things of other people, asked for by somebody who may do as much with their own. */
const othersThings: Record<string, (scene: Scene) => Case[]> = {
  endSession: ({ member, vera }) => [other("another's session", 404, member.token, { id: vera.sessionId })],
  revokeInvite: ({ member, invite }) => [other("another's invite", 404, member.token, { id: invite.id })],
  getMedia: ({ member, media }) => [other("another's file", 404, member.token, { mediaId: media.kept.id })],
  downloadMedia: ({ member, media }) => [other("another's file", 404, member.token, { mediaId: media.kept.id })],
  deleteMedia: ({ member, media }) => [
    other("another's file", 404, member.token, { mediaId: media.kept.id }),
    other("another's file that one may see", 403, member.token, { mediaId: media.attached.id }),
  ],
  editMessage: (scene) => [other("another's message", 403, scene.member.token, messagePath(scene))],
  deleteMessage: (scene) => [other("another's message", 403, scene.member.token, messagePath(scene))],
  updateRole: ({ manager, roles }) => [
    other('a role above', 403, manager.token, { id: roles.chief.id }, { name: 'Mine' }),
    other('one’s own role', 403, manager.token, { id: roles.managers.id }, { name: 'Mine' }),
    other('a permission that one lacks', 403, manager.token, { id: roles.members.id }, { permissions: ['audit.view'] }),
  ],
  deleteRole: ({ manager, roles }) => [other('a role above', 403, manager.token, { id: roles.chief.id })],
  createRole: ({ manager, name }) => [
    other('a permission that one lacks', 403, manager.token, {}, { name: name('r'), permissions: ['administrator'] }),
  ],
  updateMember: ({ manager, roles }) => [
    other('a role above, for oneself', 403, manager.token, { id: manager.id }, { roleIds: [roles.chief.id] }),
  ],
  createInvite: ({ manager, roles }) => [other('a role above', 403, manager.token, {}, { roleId: roles.chief.id })],
  setOverride: ({ manager, channels, roles }) => [
    other('a permission that one lacks', 403, manager.token, path(channels.general.id, roles.members.id), {
      allow: ['voice.moderate'],
      deny: [],
    }),
  ],
}

const path = (channelId: string, targetId: string) => ({ channelId, targetId })
const messagePath = ({ channels, messages }: Scene) => ({
  channelId: channels.general.id,
  messageId: messages.general.id,
})

function other(name: string, expect: number, token: string, path: Record<string, string>, body?: object): Case {
  return { name, expect, change: () => ({ token, path, ...(body ? { body } : {}) }) }
}
