import { afterEach, expect, setSystemTime, test } from 'bun:test'
import { Api } from '../src/index.ts'
import { lifetimeOf } from '../src/lifetime.ts'
import { ready, startPeer } from './peer.ts'
import { client, tokenOf, until } from './support.ts'

afterEach(() => {
  setSystemTime()
})

const HOUR_S = 3_600

/** A server whose clock is off by so much, and whose tokens live so long. */
function startTokens(lifetimeSeconds: number, offBySeconds = 0) {
  let number = 0
  const issue = () => {
    const serverNow = Date.now() + offBySeconds * 1_000
    return {
      accessToken: tokenOf(lifetimeSeconds, ++number, offBySeconds),
      accessTokenExpiresAt: new Date(serverNow + lifetimeSeconds * 1_000).toISOString(),
      refreshToken: `refresh-${number}`,
      refreshTokenExpiresAt: new Date(serverNow + 86_400_000).toISOString(),
    }
  }
  const fetch = (async () =>
    Response.json(issue(), {
      headers: { date: new Date(Date.now() + offBySeconds * 1_000).toUTCString() },
    })) as unknown as typeof globalThis.fetch
  return { issue, issued: () => number, api: new Api({ baseUrl: 'http://localhost', fetch }) }
}

test.each([0, -HOUR_S, HOUR_S])("a token lives by the server's clock, which is off by %d s", async (offBy) => {
  const server = startTokens(300, offBy)
  server.api.use(server.issue())
  const first = await server.api.accessToken()
  expect(await server.api.accessToken()).toBe(first)
  const start = Date.now()
  setSystemTime(new Date(start + 260_000))
  expect(await server.api.accessToken()).toBe(first)
  // Half a minute before it runs out.
  setSystemTime(new Date(start + 271_000))
  expect(await server.api.accessToken()).not.toBe(first)
  expect(server.issued()).toBe(2)
})

test('tokens kept from an earlier time are looked at by what answers tell of the time', async () => {
  const server = startTokens(300, HOUR_S)
  // By our clock it is good for another hour; by the server's it ran out just now.
  const kept = { ...server.issue(), accessTokenExpiresAt: new Date(Date.now() + HOUR_S * 1_000 - 1_000).toISOString() }
  const fetch = (async () =>
    Response.json(server.issue(), {
      headers: { date: new Date(Date.now() + HOUR_S * 1_000).toUTCString() },
    })) as unknown as typeof globalThis.fetch
  const api = new Api({ baseUrl: 'http://localhost', tokens: kept, fetch })
  expect(await api.accessToken()).toBe(kept.accessToken)
  await api.client.get({ url: '/livez' })
  expect(await api.accessToken()).not.toBe(kept.accessToken)
})

test('a token that was refused is not offered again, whatever its time', async () => {
  const server = startTokens(300)
  server.api.use(server.issue())
  const first = await server.api.accessToken()
  expect(await server.api.accessToken('another')).toBe(first)
  expect(await server.api.accessToken(first)).not.toBe(first)
})

test('a short life is used to two thirds, and renewed on the living connection before its end', async () => {
  const server = startTokens(6)
  const issued = performance.now()
  server.api.use(server.issue())
  using peer = startPeer((frame, socket) => {
    if (frame.op === 'identify') socket.send(ready({}))
  })
  const gateway = client(peer.baseUrl, { token: (refused) => server.api.accessToken(refused) })
  await gateway.connect()
  await until(() => peer.frames.some(({ op }) => op === 'refresh'))
  const lived = performance.now() - issued
  expect(lived).toBeGreaterThan(3_000)
  expect(lived).toBeLessThan(6_000)
  expect(peer.connections()).toBe(1)
  gateway.close()
})

test('a refused token is replaced once; a second refusal ends it', async () => {
  const asked: (string | undefined)[] = []
  const token = async (refused?: string) => {
    asked.push(refused)
    return `token-${asked.length}`
  }
  using kind = startPeer((frame, socket) => {
    if (frame.op !== 'identify') return
    if (frame.token === 'token-1') socket.close(4003)
    else socket.send(ready({}))
  })
  const gateway = client(kind.baseUrl, { token })
  await gateway.connect()
  expect(asked).toEqual([undefined, 'token-1'])
  gateway.close()

  using unkind = startPeer((frame, socket) => {
    if (frame.op === 'identify') socket.close(4003)
  })
  await expect(client(unkind.baseUrl, { token }).connect()).rejects.toThrow('4003')
  expect(unkind.connections()).toBe(2)
})

test('what is no access token tells nothing of its life', () => {
  expect(lifetimeOf(tokenOf(300))).toBe(300_000)
  for (const token of [
    '',
    'token',
    'ctb_abc',
    'a.b.c',
    'a.e30.c',
    `a.${btoa('null')}.c`,
    `a.${btoa('{"iat":5,"exp":4}')}.c`,
  ]) {
    expect(lifetimeOf(token)).toBeUndefined()
  }
})
