import { describe, expect, test } from 'bun:test'
import { connect } from 'node:net'
import type { Permission } from '@conntext/contracts'
import { Guard } from '@conntext/http'
import { silentLogger } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { createMessagingService } from '../src/service.ts'
import { type Member, type Stack, startMessaging } from './stack.ts'

/** The service behind a real HTTP server, as a second instance: its guard hears of changes by the bus alone. */
async function serveInstance(stack: Stack) {
  const guard = new Guard({ auth: stack.authority.port, bus: stack.bus, log: silentLogger })
  await guard.start()
  const service = createMessagingService({ ...stack.deps, guard })
  const server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: service.app.handle })
  return {
    port: server.port!,
    async [Symbol.asyncDispose]() {
      await server.stop(true)
      await guard.stop()
    },
  }
}

/** An upload whose client goes on and on, slowly, whatever it is told; resolves once its first bytes are stored. */
async function slowUpload(stack: Stack, port: number, token: string) {
  const before = (await stack.files()).length
  const socket = connect(port, '127.0.0.1')
  let received = ''
  socket.on('data', (data) => {
    received += data
  })
  socket.on('error', () => {})
  const closed = Promise.withResolvers<void>()
  socket.on('close', () => closed.resolve())
  const lines = [
    'POST /v1/uploads HTTP/1.1',
    'Host: localhost',
    `Authorization: Bearer ${token}`,
    'Transfer-Encoding: chunked',
  ]
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  const chunk = () => socket.writable && socket.write(`10000\r\n${'x'.repeat(0x10000)}\r\n`)
  chunk()
  const trickle = setInterval(chunk, 20)
  await eventually(async () => (await stack.files()).length > before)
  return {
    answer: () => received,
    status: () => Number(/^HTTP\/1\.1 (\d+)/.exec(received)?.[1]),
    /** Ends the file in order: it would be whole. */
    async finish() {
      clearInterval(trickle)
      socket.write('0\r\n\r\n')
      await eventually(() => received.includes('\r\n\r\n'))
    },
    [Symbol.dispose]() {
      clearInterval(trickle)
      socket.destroy()
    },
  }
}

const without = async (stack: Stack, permission: Permission) => {
  const everyone = stack.authority.snapshot.roles[0]!
  everyone.permissions = everyone.permissions.filter((name) => name !== permission)
  await stack.authority.changed()
}

type Reason = [what: string, told: string, cut: (stack: Stack, ann: Member) => Promise<void>]
const reasons: Reason[] = [
  [
    'whose session ends',
    '401 access.unauthenticated',
    (stack, ann) => stack.authority.revoke(ann.sessionId, ann.userId),
  ],
  [
    'whose uploader is banned',
    '401 access.unauthenticated',
    (stack, ann) => stack.authority.setGrant(ann.userId, { standing: 'banned' }),
  ],
  [
    'whose uploader is kicked',
    '403 access.notAMember',
    (stack, ann) => stack.authority.setGrant(ann.userId, { standing: 'left' }),
  ],
  [
    'whose uploader is timed out',
    '403 access.forbidden',
    (stack, ann) =>
      stack.authority.setGrant(ann.userId, { timedOutUntil: new Date(Date.now() + 60_000).toISOString() }),
  ],
  ['whose uploader may attach no more files', '403 access.forbidden', (stack) => without(stack, 'media.attach')],
  [
    'whose uploader lacks the second factor that the server asks for',
    '403 access.mfaRequired',
    async (stack) => {
      stack.authority.snapshot.server.requireMfa = true
      await stack.authority.changed()
    },
  ],
]

describe('an upload under way', () => {
  test.each(reasons)(
    '%s is cut off at once with a %s, on another instance too, and leaves nothing',
    async (_, told, cut) => {
      await using stack = await startMessaging()
      await using instance = await serveInstance(stack)
      const [ann, bob] = [await stack.authority.member(), await stack.authority.member({ owner: true })]
      using upload = await slowUpload(stack, instance.port, ann.token)
      using other = await slowUpload(stack, instance.port, bob.token)
      await cut(stack, ann)
      await eventually(() => upload.answer().includes('"code"'))
      const { status, code } = JSON.parse(/\{.*\}/s.exec(upload.answer())![0]) as { status: number; code: string }
      expect(`${status} ${code}`).toBe(told)
      await eventually(async () => (await stack.files()).length === 1)
      await other.finish()
      expect(other.status()).toBe(201)
      expect((await stack.sql`select owner_id from media`).map((row) => row.owner_id)).toEqual([bob.userId])
    },
  )

  test('with an API token ends with the token, and only with that', async () => {
    await using stack = await startMessaging()
    await using instance = await serveInstance(stack)
    const ann = await stack.authority.member()
    const [one, other] = [1, 2].map(() => stack.authority.apiToken(ann.userId, ['media.attach']))
    using upload = await slowUpload(stack, instance.port, one!.token)
    using beside = await slowUpload(stack, instance.port, other!.token)
    await stack.authority.revoke(ann.sessionId, ann.userId)
    await stack.authority.revoke(one!.tokenId, ann.userId)
    await eventually(() => upload.status() === 401)
    await beside.finish()
    expect(beside.status()).toBe(201)
  })

  test('goes on through changes that take nothing from its uploader', async () => {
    await using stack = await startMessaging()
    await using instance = await serveInstance(stack)
    const [ann, bob] = [await stack.authority.member(), await stack.authority.member()]
    using upload = await slowUpload(stack, instance.port, ann.token)
    await stack.authority.revoke(bob.sessionId, bob.userId)
    await stack.authority.setGrant(bob.userId, { standing: 'banned' })
    await without(stack, 'message.send')
    await stack.authority.setGrant(ann.userId, { mfa: true })
    await upload.finish()
    expect(upload.status()).toBe(201)
  })

  test('that is whole by the time its uploader is banned is refused all the same', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    const put = stack.objects.put.bind(stack.objects)
    stack.objects.put = async (...given) => {
      const stored = await put(...given)
      await stack.authority.setGrant(ann.userId, { standing: 'banned' })
      return stored
    }
    expect((await stack.upload(ann, 'whole')).body.code).toBe('access.unauthenticated')
    expect(await stack.files()).toEqual([])
    expect(await stack.sql`select 1 from media`).toHaveLength(0)
  })
})
