import { describe, expect, test } from 'bun:test'
import { createHmac } from 'node:crypto'
import type { IceServers, Permission } from '@conntext/contracts'
import { type ConfigError, parseConfig } from '@conntext/kernel'
import { Type } from '@sinclair/typebox'
import { realtimeRules, realtimeSettings, toRealtimeConfig } from '../src/settings.ts'
import type { Person } from './support/person.ts'
import { startNodes } from './support/stack.ts'

const SECRET = 'a secret that coturn has too'
const turn = { urls: ['turn:turn.example:3478?transport=udp', 'turn:turn.example:3478?transport=tcp'], secret: SECRET }

async function ask(ice: Parameters<typeof startNodes>[1] & object, who: 'nobody' | { permissions?: Permission[] }) {
  await using stack = await startNodes(1, { workers: 0, ...ice })
  const person: Person | undefined = who === 'nobody' ? undefined : await stack.person(who)
  const headers = person ? { authorization: `Bearer ${person.token}` } : {}
  const answer = await stack.nodes[0]!.service.app.handle(
    new Request('http://localhost/v1/voice/ice-servers', { headers }),
  )
  return { answer, person, body: (await answer.json()) as IceServers & { code?: string } }
}

describe('the ICE servers', () => {
  test('come with credentials that a relay recognises by its secret, and that end', async () => {
    const before = Date.now()
    const ice = { stunUrls: ['stun:stun.example'], turn: { ...turn, ttlSeconds: 600 }, policy: 'relay' as const }
    const { answer, body, person } = await ask({ ice }, {})
    expect(answer.status).toBe(200)
    expect(answer.headers.get('cache-control')).toBe('no-store')
    const [stun, relay] = body.iceServers
    expect(stun).toEqual({ urls: ['stun:stun.example'] })
    const [expires, userId] = relay!.username!.split(':')
    expect(userId).toBe(person!.userId)
    expect(Number(expires) * 1000).toBe(Date.parse(body.expiresAt!))
    expect(Date.parse(body.expiresAt!)).toBeWithin(before + 598_000, Date.now() + 601_000)
    const credential = createHmac('sha1', SECRET).update(relay!.username!).digest('base64')
    expect(relay).toEqual({ urls: turn.urls, username: relay!.username!, credential })
    expect(body.iceTransportPolicy).toBe('relay')
    expect(JSON.stringify(body)).not.toContain(SECRET)
  })

  test('are none where none are set up', async () => {
    const { body } = await ask({}, {})
    expect(body).toEqual({ iceServers: [], expiresAt: null, iceTransportPolicy: 'all' })
  })

  test('are not for an API token that is good for other things', async () => {
    await using stack = await startNodes(1, { workers: 0 })
    const { userId } = await stack.person()
    const status = async (scope: Permission) => {
      const { token } = stack.authority.apiToken(userId, [scope])
      const headers = { authorization: `Bearer ${token}` }
      return (
        await stack.nodes[0]!.service.app.handle(new Request('http://localhost/v1/voice/ice-servers', { headers }))
      ).status
    }
    expect(await status('channel.view')).toBe(403)
    expect(await status('voice.connect')).toBe(200)
  })

  test('are for members', async () => {
    const { answer, body } = await ask({}, 'nobody')
    expect([answer.status, body.code]).toEqual([401, 'access.unauthenticated'])
  })
})

describe('the settings', () => {
  const Settings = Type.Object(realtimeSettings)
  const read = (env: Record<string, string>) => toRealtimeConfig(parseConfig(Settings, env, realtimeRules)).ice
  const faults = (env: Record<string, string>) => {
    try {
      read(env)
      return []
    } catch (error) {
      return (error as ConfigError).faults.map(({ setting }) => setting)
    }
  }

  test('are URLs of relays and a secret, which means nothing alone', () => {
    const urls = 'turn:a.example:3478?transport=udp, turns:[2001:db8::1]:5349'
    expect(read({ CONNTEXT_TURN_URLS: urls, CONNTEXT_TURN_SECRET: SECRET, CONNTEXT_ICE_POLICY: 'relay' })).toEqual({
      stunUrls: [],
      turn: { urls: urls.split(', '), secret: SECRET, ttlSeconds: 3600 },
      policy: 'relay',
    })
    expect(read({ CONNTEXT_TURN_SECRET: SECRET }).turn).toBeUndefined()
    expect(read({ CONNTEXT_STUN_URLS: 'stun:a.example,stuns:b.example:5349' }).stunUrls).toHaveLength(2)
  })

  test('that make no sense keep it from starting', () => {
    expect(faults({ CONNTEXT_TURN_URLS: 'turn:a.example' })).toEqual(['CONNTEXT_TURN_SECRET'])
    expect(faults({ CONNTEXT_ICE_POLICY: 'relay', CONNTEXT_TURN_SECRET: SECRET })).toEqual(['CONNTEXT_TURN_URLS'])
    for (const url of ['a.example', 'https://a.example', 'turn:a.example?transport=sctp', 'turn:user@a.example']) {
      expect(faults({ CONNTEXT_TURN_URLS: url, CONNTEXT_TURN_SECRET: SECRET })).toEqual(['CONNTEXT_TURN_URLS'])
    }
    expect(faults({ CONNTEXT_STUN_URLS: 'turn:a.example' })).toEqual(['CONNTEXT_STUN_URLS'])
    expect(faults({ CONNTEXT_TURN_SECRET: 'short' })).toEqual(['CONNTEXT_TURN_SECRET'])
    expect(faults({ CONNTEXT_TURN_TTL_SECONDS: '5' })).toEqual(['CONNTEXT_TURN_TTL_SECONDS'])
    expect(faults({ CONNTEXT_ICE_POLICY: 'none' })).toEqual(['CONNTEXT_ICE_POLICY'])
  })
})
