import { describe, expect, test } from 'bun:test'
import { closeCodes } from '@conntext/contracts'
import type { Client } from './support/client.ts'
import { type Stack, startStack } from './support/stack.ts'

async function refusalOf(stack: Stack, token: string) {
  const client = stack.connect()
  await client.op('hello')
  const { error } = await client.ask({ op: 'identify', token })
  return [error?.status, error?.code, await client.code()]
}

const lives = async (client: Client) => (await client.ask({ op: 'heartbeat' })).ok as boolean

async function requireMfa({ authority }: Pick<Stack, 'authority'>, required: boolean) {
  authority.snapshot.server.requireMfa = required
  await authority.changed()
}

describe('identify', () => {
  test('tells whoever has left that they are no member, and closes with 4003', async () => {
    await using stack = await startStack()
    const { userId, token } = await stack.authority.member()
    await stack.authority.setGrant(userId, { standing: 'left' })
    const refused = [403, 'access.notAMember', closeCodes.authenticationFailed]
    expect(await refusalOf(stack, token)).toEqual(refused)
    const api = stack.authority.apiToken(userId, ['administrator'])
    expect(await refusalOf(stack, api.token)).toEqual(refused)
  })

  test('tells whoever lacks the second factor that the server asks for, and lets in who needs none', async () => {
    await using stack = await startStack()
    const { authority } = stack
    const [without, owner, having, bot] = [
      await authority.member({ permissions: ['administrator'] }),
      await authority.member({ owner: true }),
      await authority.member(),
      await authority.member(),
    ]
    await authority.setGrant(having.userId, { mfa: true })
    await authority.setGrant(bot.userId, { kind: 'bot' })
    await requireMfa(stack, true)
    const refused = [403, 'access.mfaRequired', closeCodes.authenticationFailed]
    expect(await refusalOf(stack, without.token)).toEqual(refused)
    expect(await refusalOf(stack, authority.apiToken(without.userId, ['channel.view']).token)).toEqual(refused)
    await stack.enter(owner.token)
    await stack.enter(having.token)
    await stack.enter(authority.apiToken(bot.userId, ['channel.view']).token)
    await requireMfa(stack, false)
    await stack.enter(without.token)
  })

  test('tells a banned account nothing', async () => {
    await using stack = await startStack()
    const { userId, token } = await stack.authority.member()
    await stack.authority.setGrant(userId, { standing: 'banned' })
    expect(await refusalOf(stack, token)).toEqual([401, 'access.unauthenticated', closeCodes.authenticationFailed])
  })
})

test('when the server begins to ask for a second factor, whoever has none is closed at once', async () => {
  await using stack = await startStack()
  const { authority } = stack
  const [without, having] = [await authority.member(), await authority.member()]
  await authority.setGrant(having.userId, { mfa: true })
  const [one, two] = [await stack.enter(without.token), await stack.enter(having.token)]
  const api = await stack.enter(authority.apiToken(without.userId, ['channel.view']).token)
  await requireMfa(stack, true)
  expect([await one.client.code(), await api.client.code()]).toEqual([
    closeCodes.sessionRevoked,
    closeCodes.sessionRevoked,
  ])
  expect(await lives(two.client)).toBe(true)
  // And so is who has given up the last one.
  await authority.setGrant(having.userId, { mfa: false })
  expect(await two.client.code()).toBe(closeCodes.sessionRevoked)
})

test('a role that asks for a second factor opens a channel to those alone who have one', async () => {
  await using stack = await startStack()
  const { authority } = stack
  const { snapshot } = authority
  const channel = await authority.channel()
  const [without, having] = [await authority.member({ permissions: [] }), await authority.member()]
  const roleId = (await authority.port.grant({ userId: without.userId }))!.roleIds[0]!
  snapshot.roles.find((role) => role.id === roleId)!.requireMfa = true
  const target = { channelId: channel.id, targetKind: 'role' as const }
  snapshot.overrides = [
    { ...target, targetId: snapshot.roles[0]!.id, allow: [], deny: ['channel.view'] },
    { ...target, targetId: roleId, allow: ['channel.view'], deny: [] },
  ]
  await authority.changed()
  await authority.setGrant(having.userId, { mfa: true, roleIds: [roleId] })
  expect((await stack.enter(without.token)).ready.channels).toEqual([])
  expect((await stack.enter(having.token)).ready.channels).toHaveLength(1)
})

describe('on every instance', () => {
  /** Two gateways, each with a guard of its own, on one bus; and somebody who is connected to both. */
  async function two() {
    const first = await startStack()
    const second = await startStack({ beside: first })
    const member = await first.authority.member({ permissions: ['channel.view', 'message.send'] })
    const enter = (token: string) => Promise.all([first, second].map(async (it) => (await it.enter(token)).client))
    return {
      first,
      second,
      member,
      authority: first.authority,
      enter,
      allows: (permission: 'message.send', channelId: string) =>
        Promise.all([first, second].map((it) => it.guard.allows({ userId: member.userId }, permission, channelId))),
      async [Symbol.asyncDispose]() {
        await second[Symbol.asyncDispose]()
        await first[Symbol.asyncDispose]()
      },
    }
  }
  const codes = (clients: Client[]) => Promise.all(clients.map((client) => client.code()))
  const revoked = [closeCodes.sessionRevoked, closeCodes.sessionRevoked]

  test('an ended session is closed', async () => {
    await using it = await two()
    const clients = await it.enter(it.member.token)
    await it.authority.revoke(it.member.sessionId, it.member.userId)
    expect(await codes(clients)).toEqual(revoked)
  })

  test('a revoked API token is closed', async () => {
    await using it = await two()
    const { token, tokenId } = it.authority.apiToken(it.member.userId, ['channel.view'])
    const clients = await it.enter(token)
    await it.authority.revoke(tokenId, it.member.userId)
    expect(await codes(clients)).toEqual(revoked)
  })

  test.each(['banned', 'left', 'deleted'] as const)('an account that is %s is closed', async (standing) => {
    await using it = await two()
    const clients = await it.enter(it.member.token)
    await it.authority.setGrant(it.member.userId, { standing })
    expect(await codes(clients)).toEqual(revoked)
  })

  test('a change of roles moves every connection', async () => {
    await using it = await two()
    const channel = await it.authority.channel()
    const clients = await it.enter(it.member.token)
    it.authority.snapshot.roles[0]!.permissions = []
    await it.authority.changed()
    await it.authority.setGrant(it.member.userId, { roleIds: [] })
    for (const client of clients) {
      const { d } = await client.frame((frame) => frame.t === 'access.changed')
      expect(d.removed).toEqual([channel.id])
    }
  })

  test('a timeout silences, before its answer', async () => {
    await using it = await two()
    const channel = await it.authority.channel()
    const clients = await it.enter(it.member.token)
    expect(await it.allows('message.send', channel.id)).toEqual([true, true])
    await it.authority.setGrant(it.member.userId, { timedOutUntil: new Date(Date.now() + 60_000).toISOString() })
    expect(await it.allows('message.send', channel.id)).toEqual([false, false])
    for (const client of clients) expect(await lives(client)).toBe(true)
  })
})
