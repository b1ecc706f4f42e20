import { PASSWORD, type Scene } from '../scene.ts'
import type { Ask } from '../send.ts'
import { type Case, header, type Subject } from './case.ts'

const NOBODY = '01800000-0000-7000-8000-000000000000'

const withBody = (name: string, expect: Case['expect'], change: object): Case => ({
  name,
  expect,
  fresh: true,
  change: (ask: Ask) => ({ body: { ...(ask.body as object), ...change } }),
})
const withQuery = (name: string, expect: Case['expect'], query: string): Case => ({
  name,
  expect,
  change: () => ({ query }),
})
const withHeader = (expect: Case['expect'], name: string, value: string): Case => ({
  name: `${name}: ${value}`,
  expect,
  change: header(name, value),
})
const elsewhere = (name: string, expect: Case['expect'], path: Record<string, string>): Case => ({
  name,
  expect,
  change: (ask: Ask) => ({ path: { ...ask.path, ...path } }),
})

/** Requests that are valid in form, and can't be done for a reason of their own. */
const particular: Record<string, (scene: Scene) => Case[]> = {
  login: ({ spare }) => [
    withBody('a wrong password', 401, { password: 'not the password' }),
    withBody('an unknown name', 401, { login: 'nobody-at-all' }),
    withBody('the name in capitals', 'success', { login: spare.username.toUpperCase() }),
  ],
  refresh: ({ owner }) => [
    withBody('a token of nonsense', 401, { refreshToken: 'nonsense' }),
    withBody('an access token', [401, 422], { refreshToken: owner.token }),
  ],
  register: () => [
    withBody('a name that is taken', 409, { username: 'OLGA' }),
    withBody('an unknown invite', 404, { inviteCode: 'nonsense' }),
    withBody('a setup code when there is an owner', 403, { inviteCode: undefined, setupCode: 'setup-code-of-a-test' }),
    withBody('no invite', 403, { inviteCode: undefined }),
    withBody('a short password', 422, { password: PASSWORD.slice(0, 7) }),
  ],
  updateMember: ({ roles }) => [
    withBody('an unknown role', 422, { roleIds: [NOBODY] }),
    withBody('a role twice', 422, { roleIds: [roles.members.id, roles.members.id] }),
    withBody('@everyone', 422, { roleIds: [roles.everyone.id] }),
  ],
  createRole: () => [withBody('a name that is taken', 409, { name: 'Members' })],
  updateRole: () => [withBody('a name that is taken', 409, { name: 'Members' })],
  deleteRole: ({ roles }) => [elsewhere('@everyone', 409, { id: roles.everyone.id })],
  createChannel: ({ channels }) => [
    withBody('a name that is taken', 409, { name: 'matrix' }),
    withBody('a parent that is no category', 422, { parentId: channels.general.id }),
    withBody('an unknown parent', 422, { parentId: NOBODY }),
    withBody('a category in a category', 422, { type: 'category', parentId: channels.general.id }),
  ],
  updateChannel: ({ channels }) => [
    withBody('itself as its parent', 422, { parentId: channels.voice.id }),
    withBody('messages to keep in a voice channel', 422, { messageRetentionDays: 30 }),
    withBody('an unknown parent', 422, { parentId: NOBODY }),
  ],
  setOverride: () => [
    withBody('a permission on both sides', 422, { allow: ['voice.speak'], deny: ['voice.speak'] }),
    withBody('a permission of the server', 422, { allow: ['role.manage'] }),
  ],
  createInvite: () => [withBody('an unknown role', 422, { roleId: NOBODY })],
  sendMessage: ({ channels, media }) => [
    elsewhere('in a voice channel', 409, { channelId: channels.voice.id }),
    withBody('nothing to say', 422, { content: '' }),
    withBody('more than a message may be', 422, { content: 'x'.repeat(4001) }),
    withBody('an answer to nothing', 422, { replyTo: NOBODY }),
    withBody('an unknown file', 422, { mediaIds: [NOBODY] }),
    withBody('a file twice', 422, { mediaIds: [media.kept.id, media.kept.id] }),
  ],
  editMessage: () => [withBody('more than a message may be', 422, { content: 'x'.repeat(4001) })],
  listMessages: () => [
    withQuery('before and after at once', 422, 'before=1&after=1'),
    withQuery('from a number far away', 'success', 'after=999999999999999'),
    withQuery('around an unknown message', 'documented', `around=${NOBODY}`),
  ],
  getMessage: ({ channels, messages }) => [
    elsewhere('a message of another channel', 404, { channelId: channels.hidden.id, messageId: messages.general.id }),
  ],
  deleteMedia: ({ media }) => [elsewhere('a file that a message carries', 409, { mediaId: media.attached.id })],
  addReaction: () => [
    elsewhere('a letter', 422, { emoji: 'a' }),
    elsewhere('two emoji', 422, { emoji: '👍👍' }),
    elsewhere('half an emoji', 422, { emoji: '\u200d' }),
  ],
  pinMessage: ({ channels, messages }) => [
    elsewhere('a message of another channel', 404, { channelId: channels.hidden.id, messageId: messages.general.id }),
  ],
  bulkDeleteMessages: ({ messages }) => [
    withBody('a message of another channel', 'success', { messageIds: [messages.hidden.id] }),
    withBody('a message twice', 422, { messageIds: [messages.general.id, messages.general.id] }),
  ],
  markRead: () => [withBody('what is not there yet', 'success', { seq: Number.MAX_SAFE_INTEGER })],
  openConversation: ({ owner, member }) => [
    withBody('oneself', 422, { userIds: [owner.id] }),
    withBody('nobody', 422, { userIds: [NOBODY] }),
    withBody('somebody twice', 422, { userIds: [member.id, member.id] }),
  ],
  getConversation: ({ channels }) => [elsewhere('a channel', 404, { channelId: channels.general.id })],
  renameConversation: ({ conversations }) => [
    elsewhere('what is no group', 409, { channelId: conversations.oneToOne.id }),
  ],
  closeConversation: ({ conversations }) => [elsewhere('a group', 409, { channelId: conversations.group.id })],
  addParticipant: ({ conversations }) => [
    elsewhere('to what is no group', 409, { channelId: conversations.oneToOne.id }),
  ],
  searchMessages: () => [
    withQuery('nothing', 422, 'q=%20'),
    withQuery('an open quotation mark', 'documented', 'q=%22hello'),
    withQuery('SQL', 'success', "q=x'%20or%201%3D1%20--"),
    withQuery('operators of a query', 'success', 'q=a%20%26%20%7C%20!%20%3C-%3E%20b'),
    withQuery('an unknown author', 'success', 'q=from:nobody-at-all'),
    withQuery('a date that is none', 422, 'q=on:2026-02-30'),
    withQuery('a NUL', 400, 'q=%00'),
  ],
  listLibrary: () => [withQuery('of no channel', 404, `channelId=${NOBODY}`)],
  continueUpload: () => [
    withHeader(412, 'tus-resumable', '0.2.2'),
    withHeader(409, 'upload-offset', '3'),
    withHeader(400, 'upload-offset', '-1'),
    withHeader(400, 'upload-offset', '9'.repeat(20)),
    withHeader(415, 'content-type', 'application/octet-stream'),
    withHeader(400, 'upload-checksum', 'md4 AAAA'),
    withHeader(460, 'upload-checksum', 'sha1 AAAA'),
  ],
  abandonUpload: () => [withHeader(412, 'tus-resumable', '0.2.2')],
  uploadMedia: () => [
    withHeader(412, 'tus-resumable', '0.2.2'),
    withHeader(400, 'tus-resumable', '1.0.0'),
    withQuery('a path for a name', 'success', 'filename=..%2F..%2Fetc%2Fpasswd'),
    withQuery('a name of control characters', 'success', 'filename=%01%1b%7f'),
    withQuery('no name', 'success', ''),
    withHeader('success', 'content-type', 'garbage'),
    withHeader('success', 'content-type', 'application/json'),
  ],
  downloadMedia: () => [
    ...['bytes=', 'bytes=abc', 'bytes=5-1', 'bytes=0-1,3-4', 'lines=0-1', '0-1', 'bytes=--1', 'bytes=1e1-', ''].map(
      (range) => withHeader(200, 'range', range),
    ),
    ...['bytes=0-0', 'bytes=-5', 'bytes=0-99999999999999999999', 'bytes=-99999999999999999999'].map((range) =>
      withHeader(206, 'range', range),
    ),
    ...['bytes=1000-', 'bytes=-0', 'bytes=99999999999999999999-'].map((range) => withHeader(416, 'range', range)),
    withHeader(412, 'if-match', '"another"'),
    withHeader(412, 'if-match', 'garbage'),
    withHeader(200, 'if-none-match', 'garbage'),
    withHeader(304, 'if-none-match', '*'),
    withHeader(200, 'if-modified-since', 'garbage'),
    withHeader(412, 'if-unmodified-since', 'Thu, 01 Jan 1970 00:00:00 GMT'),
  ],
  listAuditEvents: () => [
    withQuery('an end before its beginning', 422, 'from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z'),
    withQuery('SQL', 'success', "action=x' or 1=1 --"),
    withQuery('patterns', 'success', 'targetId=%25'),
  ],
  getEffectivePermissions: () => [
    withQuery('of nobody', 404, `userId=${NOBODY}`),
    withQuery('in no channel', 404, `channelId=${NOBODY}`),
  ],
}

export const particularCases = ({ operation, scene }: Subject): Case[] => particular[operation.id]?.(scene) ?? []
