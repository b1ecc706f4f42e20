import { afterAll, beforeAll, expect, test } from 'bun:test'
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually, SETUP_CODE, type ServerProcess, startServerProcess } from '@conntext/testing'
import { conntextWith } from './command/conntext.ts'

// A server is backed up while people use it, thrown away, and restored: what they had at the backup they have again.
const MINUTES = 180_000
const PASSWORD = 'a-long-enough-password'

let server: ServerProcess
let kept: string
let token = ''
const file = crypto.getRandomValues(new Uint8Array(60_000))

const call = async (method: string, path: string, body?: object | Uint8Array, headers: Record<string, string> = {}) => {
  const isBytes = body instanceof Uint8Array
  const answer = await fetch(server.url + path, {
    method,
    headers: {
      ...(token && { authorization: `Bearer ${token}` }),
      ...(body && !isBytes && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body && { body: isBytes ? (body as Uint8Array<ArrayBuffer>) : JSON.stringify(body) }),
  })
  const text = await answer.text()
  return { status: answer.status, body: text.startsWith('{') ? JSON.parse(text) : text }
}
const run = (...args: string[]) =>
  conntextWith({ CONNTEXT_DATA: server.data, CONNTEXT_BACKUP_DIRECTORY: join(kept, 'backups') }, ...args)

async function login(): Promise<void> {
  token = ''
  const { body } = await call('POST', '/v1/auth/login', { login: 'owner', password: PASSWORD })
  token = body.accessToken
}

beforeAll(async () => {
  kept = await mkdtemp(join(tmpdir(), 'conntext-kept-'))
  const pair = await conntextWith({}, 'backup', 'key')
  await writeFile(join(kept, 'identity'), pair.out)
  const recipient = /age1\w+/.exec(pair.out)![0]
  server = await startServerProcess({
    CONNTEXT_BACKUP_RECIPIENTS: recipient,
    CONNTEXT_BACKUP_DIRECTORY: join(kept, 'backups'),
    CONNTEXT_RATE_CREDENTIALS: '0',
  })
  const registered = await call('POST', '/v1/auth/register', {
    username: 'owner',
    password: PASSWORD,
    setupCode: SETUP_CODE,
  })
  token = registered.body.accessToken
}, MINUTES)

afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  await rm(kept, { recursive: true, force: true })
}, MINUTES)

test(
  'a backup taken under load is restored on an empty machine, with its files and a whole audit log, and goes on',
  async () => {
    const channel = (await call('POST', '/v1/channels', { name: 'plans', type: 'text' })).body
    expect(channel).toMatchObject({ type: 'text' })
    const messages = `/v1/channels/${channel.id}/messages`
    const uploaded = await call('POST', '/v1/uploads?filename=a.bin', file, {
      'content-type': 'application/octet-stream',
    })
    expect(uploaded.status).toBe(201)
    const first = await call('POST', messages, { content: 'before', mediaIds: [uploaded.body.id] })
    expect(first).toMatchObject({ status: 201 })
    expect(await run('backup', 'list')).toMatchObject({
      code: 0,
      out: '',
      err: expect.stringContaining('there is no backup'),
    })
    let going = true
    const sent: string[] = []
    const load = (async () => {
      for (let i = 0; going; i += 1) {
        const { body } = await call('POST', messages, { content: `under load ${i}` })
        sent.push(body.id)
        if (i % 10 === 0) await call('PATCH', `/v1/channels/${channel.id}`, { topic: `topic ${i}` })
      }
    })()
    const made = await run('backup', 'create', '--to', join(kept, 'one.tar.age'))
    going = false
    await load
    expect(made).toMatchObject({ code: 0 })
    expect(sent.length).toBeGreaterThan(0)
    const lastSeq = (await call('POST', messages, { content: 'after the backup' })).body.seq
    const listed = await run('backup', 'list')
    expect(listed.out).toContain('done')

    await server.kill('SIGTERM')
    await copyFile(join(server.data, 'secrets', 'master-key'), join(kept, 'master-key'))
    const opened = ['--identity', join(kept, 'identity')]
    const master = ['--master-key', join(kept, 'master-key')]
    const deep = await run('backup', 'verify', join(kept, 'one.tar.age'), '--deep', ...opened, ...master)
    expect(deep).toMatchObject({ code: 0, out: expect.stringContaining('all as it was written') })
    // Nobody waits at a terminal here.
    expect(deep.err).not.toContain('%')
    const refused = await run('backup', 'restore', join(kept, 'one.tar.age'), ...opened)
    expect(refused.err).toContain('There is a server in')
    await rm(server.data, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
    await writeFile(join(kept, 'wrong-key'), Buffer.alloc(32, 7).toString('base64url'))
    const wrong = await run(
      'backup',
      'restore',
      join(kept, 'one.tar.age'),
      ...opened,
      '--master-key',
      join(kept, 'wrong-key'),
    )
    expect(wrong).toMatchObject({ code: 1 })
    expect(wrong.err).toContain('The master key does not belong to this backup')
    const restored = await run(
      'backup',
      'restore',
      join(kept, 'one.tar.age'),
      ...opened,
      '--master-key',
      join(kept, 'master-key'),
    )
    expect(restored).toMatchObject({ code: 0 })
    const key = await readFile(join(server.data, 'secrets', 'master-key'), 'utf8')
    expect(key.trim()).toBe((await readFile(join(kept, 'master-key'), 'utf8')).trim())

    await server.restart()
    expect((await call('GET', messages)).status).toBe(401)
    await login()
    const { body } = await call('GET', `${messages}?limit=100`)
    const contents = (body.items as { content: string }[]).map(({ content }) => content)
    expect(contents[0] === 'before' || body.items.length === 100).toBe(true)
    expect(contents).not.toContain('after the backup')
    const content = await fetch(`${server.url}/v1/media/${uploaded.body.id}/content`, {
      headers: { authorization: `Bearer ${token}` },
    })
    expect(Buffer.from(await content.bytes()).equals(Buffer.from(file))).toBe(true)
    const again = await call('POST', messages, { content: 'and on' })
    expect(again.status).toBe(201)
    expect(again.body.seq).toBeGreaterThan(lastSeq)
    const verified = await run('audit', 'verify')
    expect(verified).toMatchObject({ code: 0 })
    expect(verified.err).toContain('all as it was written')
    const events = async () => (await call('GET', '/v1/audit/events?action=backup.restored')).body.items
    await eventually(async () => (await events()).length > 0)
    expect(await events()).toHaveLength(1)
  },
  MINUTES,
)
