// docker/compose.yml, started as it stands: every service of ours with its command and its environment.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { eventually } from '@conntext/testing'
import { locateCeph } from '@conntext/testing/radosgw'
import { locateRedis } from '@conntext/testing/redis'
import { locateProgram, type Stack, startStack } from '@conntext/testing/stack'

const possible = locateRedis() !== undefined && locateCeph() !== undefined
const withCaddy = locateProgram('caddy') !== undefined

let stack: Stack
beforeAll(async () => {
  if (possible) stack = await startStack()
}, 240_000)
afterAll(() => stack?.stop(), 90_000)

type Answer = { status: number; body: Record<string, string> }

async function ask(base: string, path: string, init: RequestInit & { tls?: object } = {}): Promise<Answer> {
  // Caddy's certificate for localhost is one that it made itself.
  const answer = await fetch(`${base}${path}`, { ...init, tls: { rejectUnauthorized: false } } as RequestInit)
  const text = await answer.text()
  return { status: answer.status, body: text.startsWith('{') ? JSON.parse(text) : {} }
}
const post = (base: string, path: string, body: object, token?: string) =>
  ask(base, path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...(token && { Authorization: `Bearer ${token}` }) },
    body: JSON.stringify(body),
  })

test.skipIf(!possible)('all is there, and what is not is told', () => {
  const ours = ['gateway-1', 'gateway-2', 'auth', 'system', 'messaging-1', 'messaging-2', 'realtime', 'migrate']
  const stores = ['postgres', 'clickhouse', 'minio', 'redis']
  expect([...stack.members.keys()].sort()).toEqual([...ours, ...stores, ...(withCaddy ? ['caddy'] : [])].sort())
  expect(stack.leftOut.map(({ name }) => name)).toEqual(withCaddy ? [] : ['caddy'])
})

test.skipIf(!possible)(
  'what is said at one gateway is heard at the other, and files go through all of it',
  async () => {
    const [first = '', second = ''] = stack.gateways
    const account = { username: 'olga', password: 'correct horse battery', setupCode: stack.setupCode }
    const owner = await post(stack.url, '/v1/auth/register', account)
    expect(owner.status).toBe(201)
    const { accessToken: token } = owner.body
    const channel = await post(first, '/v1/channels', { name: 'lounge', type: 'text' }, token)
    expect(channel.status).toBe(201)
    const sent = await post(
      second,
      `/v1/channels/${channel.body.id}/messages`,
      { content: 'Hello!', nonce: '1' },
      token,
    )
    expect(sent.status).toBe(201)
    const headers = { Authorization: `Bearer ${token}` }
    const heard = await fetch(`${first}/v1/channels/${channel.body.id}/messages`, { headers })
    expect(await heard.text()).toContain('"content":"Hello!"')
    const bytes = new Uint8Array(9_000_000).fill(7)
    const upload = await ask(stack.url, '/v1/uploads?filename=sevens.bin', {
      method: 'POST',
      headers: { ...headers, 'Content-Type': 'application/octet-stream' },
      body: bytes,
    })
    expect(upload).toMatchObject({ status: 201, body: { size: bytes.length } })
  },
  60_000,
)

test.skipIf(!possible || !withCaddy)('what is for those who watch the services is not for the world', async () => {
  for (const path of ['/metrics', '/readyz', '/livez', '/internal/auth/health']) {
    expect((await ask(stack.url, path)).status).toBe(404)
  }
  expect((await ask(stack.gateways[0]!, '/readyz')).status).toBe(200)
})

test.skipIf(!possible)('a port inside answers nobody without the credential', async () => {
  for (const name of ['auth', 'system', 'messaging-1', 'realtime']) {
    const { url } = stack.member(name)
    expect((await ask(url!, '/v1/server')).status).toBe(401)
    expect((await post(url!, `/internal/${name.replace('-1', '')}/health`, {})).status).toBe(401)
    expect((await ask(url!, '/livez')).status).toBe(200)
  }
})

test.skipIf(!possible || !existsSync('/proc/self/environ'))(
  'no secret stands on a command line or in an environment',
  () => {
    const folder = join(stack.directory, 'secrets')
    const secrets = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8').trim())
    const looked = [...stack.members.values()].filter(({ pid, name }) => pid !== undefined && name !== 'migrate')
    expect(looked.length).toBeGreaterThan(8)
    for (const { name, pid } of looked) {
      const told = ['cmdline', 'environ'].map((file) => readFileSync(`/proc/${pid}/${file}`, 'utf8')).join('\0')
      for (const secret of secrets.filter(Boolean))
        expect({ name, tells: told.includes(secret) }).toEqual({ name, tells: false })
    }
  },
)

test.skipIf(!possible || !withCaddy)(
  'a service and a gateway are restarted while people write, and every message is taken',
  async () => {
    const login = await post(stack.url, '/v1/auth/login', { login: 'olga', password: 'correct horse battery' })
    const token = login.body.accessToken
    const { body: channel } = await post(stack.url, '/v1/channels', { name: 'meadow', type: 'text' }, token)
    const refused: Answer[] = []
    let writing = true
    let taken = 0
    const write = async () => {
      while (writing) {
        const sent = await post(stack.url, `/v1/channels/${channel.id}/messages`, { content: 'On we go' }, token)
        if (sent.status === 201) taken += 1
        else refused.push(sent)
        await Bun.sleep(20)
      }
    }
    const writers = [write(), write()]
    for (const name of ['system', 'gateway-1']) {
      await stack.member(name).stop()
      await stack.member(name).start()
    }
    writing = false
    await Promise.all(writers)
    expect(refused).toEqual([])
    expect(taken).toBeGreaterThan(10)
  },
  90_000,
)

test.skipIf(!possible)(
  'a gateway and a messaging instance that are killed are not missed',
  async () => {
    await stack.member('messaging-1').kill()
    await stack.member('gateway-1').kill()
    const login = { login: 'olga', password: 'correct horse battery' }
    const { status, body } = await post(stack.gateways[1]!, '/v1/auth/login', login)
    expect(status).toBe(200)
    const channel = await post(stack.gateways[1]!, '/v1/channels', { name: 'garden', type: 'text' }, body.accessToken)
    const path = `/v1/channels/${channel.body.id}/messages`
    for (let index = 0; index < 4; index += 1) {
      const message = { content: 'On we go', nonce: `after-${index}` }
      // Whether what went over a connection that ends was taken, neither Caddy (502) nor a gateway (503) can know. Who
      // says it again says it once.
      const sent = await eventually(async () => {
        const answer = await post(withCaddy ? stack.url : stack.gateways[1]!, path, message, body.accessToken)
        return [502, 503].includes(answer.status) ? undefined : answer
      })
      expect(sent.status).toBe(201)
    }
    await Promise.all(['messaging-1', 'gateway-1'].map((name) => stack.member(name).start()))
    expect((await ask(stack.gateways[0]!, '/readyz')).status).toBe(200)
  },
  60_000,
)
