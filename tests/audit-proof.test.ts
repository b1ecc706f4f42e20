import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Deployment, eventually, SETUP_CODE, startDeployment } from '@conntext/testing'

// The verifier of docs/examples, which knows none of our code, against a real server.

const VERIFIER = fileURLToPath(new URL('../docs/examples/verify-audit.mjs', import.meta.url))
const PASSWORD = 'a-long-enough-password'

let deployment: Deployment
let token: string
let directory: string

async function call<T>(method: string, path: string, body?: object): Promise<T> {
  const answer = await fetch(deployment.url + path, {
    method,
    headers: {
      ...(token && { authorization: `Bearer ${token}` }),
      ...(body && { 'content-type': 'application/json' }),
    },
    ...(body && { body: JSON.stringify(body) }),
  })
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`)
  return (await answer.json()) as T
}

type Listed = { id: string; action: string; outcome: string }

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'conntext-proof-'))
  deployment = await startDeployment()
  const registration = { username: 'owner', password: PASSWORD, setupCode: SETUP_CODE }
  token = (await call<{ accessToken: string }>('POST', '/v1/auth/register', registration)).accessToken
  for (let i = 0; i < 5; i += 1) await call('POST', '/v1/channels', { name: `channel ${i}`, type: 'text' })
}, 120_000)

afterAll(async () => {
  await deployment?.[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
}, 120_000)

const listed = async (action: string, least = 1) =>
  eventually(async () => {
    const { items } = await call<{ items: Listed[] }>('GET', `/v1/audit/events?action=${action}`)
    return items.length >= least ? items : undefined
  })

async function verifier(program: string, url: string, ...args: string[]) {
  const child = Bun.spawn([program, VERIFIER, url, ...args], {
    env: { ...process.env, CONNTEXT_TOKEN: token },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  return { out, err, code }
}

/** A server that shows what the real one says, but for some of it. */
function lyingServer(lie: (path: string, text: string) => string) {
  return Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      const { pathname, search } = new URL(request.url)
      const authorization = request.headers.get('authorization')!
      const answer = await fetch(deployment.url + pathname + search, { headers: { authorization } })
      return new Response(lie(pathname, await answer.text()), { status: answer.status })
    },
  })
}

describe('the independent verifier', () => {
  test.each([process.execPath, 'node'])(
    'proves events and the log from outside, in %s',
    async (program) => {
      const kept = join(directory, `checkpoint-${program === 'node'}`)
      await writeFile(kept, (await call<{ note: string }>('GET', '/v1/audit/checkpoint')).note)
      await call('POST', '/v1/channels', { name: `later ${program === 'node'}`, type: 'text' })
      await listed('channel.created', 6)
      const [registered] = await listed('user.registered')
      const [created] = await listed('channel.created')
      for (const { id } of [registered!, created!]) {
        const { out, err, code } = await verifier(program, deployment.url, id, kept)
        expect({ code, err }).toEqual({ code: 0, err: '' })
        expect(out).not.toContain('WRONG')
        expect(out).toContain('the log begins with')
      }
    },
    30_000,
  )

  test('is deceived by nothing that a server makes up', async () => {
    const [event] = await listed('user.registered')
    const kept = join(directory, 'other-checkpoint')
    const { note } = await call<{ note: string }>('GET', '/v1/audit/checkpoint')
    await writeFile(kept, note)
    const other = (was: string) => (was === 'A' ? 'B' : 'A')
    const lies: [part: string, from: RegExp, to: string | ((was: string) => string)][] = [
      ['proof', /registered/g, 'deleted'],
      [event!.id, /"outcome":"done"/, '"outcome":"failed"'],
      [event!.id, /"username":"owner"/, '"username":"other"'],
      [event!.id, /"address":"[^"]+"/, '"address":"192.0.2.1"'],
      ['proof', /(?<="index":)\d+/, (was) => String(Number(was) + 1)],
      ['proof', /(?<="checkpoint":"[^ ]+)\\n(\d+)\\n/, '\\n9$1\\n'],
      ['proof', /(?<="salt":")./, other],
      ['keys', /(?<="publicKey":")./, other],
    ]
    for (const [part, from, to] of lies) {
      await using server = lyingServer((path, text) => (path.endsWith(part) ? text.replace(from, to as string) : text))
      const { out, code } = await verifier(process.execPath, server.url.href, event!.id)
      expect(`${part} ${from}: ${code} ${out.includes('WRONG')}`).toBe(`${part} ${from}: 1 true`)
    }
    await writeFile(kept, note.replace(/\n\d+\n/, '\n3\n'))
    expect((await verifier(process.execPath, deployment.url, event!.id, kept)).out).toContain('WRONG it is signed')
  }, 60_000)

  test('the server verifies itself, and says so in its trail', async () => {
    const { note } = await call<{ note: string }>('GET', '/v1/audit/checkpoint')
    const { id } = await call<{ id: string }>('POST', '/v1/audit/verify', { checkpoint: note })
    const ended = await eventually(async () => {
      const found = await call<{ state: string; intact: boolean }>('GET', `/v1/audit/verifications/${id}`)
      return found.state === 'done' ? found : undefined
    })
    expect(ended).toMatchObject({ intact: true, findings: [] })
    expect(await listed('audit.verified')).not.toEqual([])
  }, 60_000)
})
