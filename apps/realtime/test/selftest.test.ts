import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createServer } from 'node:net'
import type { VoiceFinding, VoiceSelfTest } from '@conntext/contracts'
import { eventually, freePort } from '@conntext/testing'
import { type Coturn, hasCoturn, startCoturn } from '@conntext/testing/coturn'
import { ownAddresses } from '../src/media/addresses.ts'
import { kindOf } from '../src/selftest/address-kind.ts'
import { addressOf, decode, encode, types } from '../src/selftest/stun.ts'
import type { RealtimeDeps } from '../src/service.ts'
import { hasWorker, network, skipped, startNodes } from './support/stack.ts'

const withWorker = hasWorker ? describe : describe.skip
const withRelay = hasWorker && hasCoturn() ? describe : describe.skip
const [address = '127.0.0.1'] = ownAddresses().ipv4

/** What the test finds, as its route tells it. */
async function examine(options: Partial<RealtimeDeps>): Promise<VoiceFinding[]> {
  await using stack = await startNodes(1, options)
  return (await ask(stack)).nodes.flatMap(({ findings }) => findings)
}

async function ask(stack: Awaited<ReturnType<typeof startNodes>>): Promise<VoiceSelfTest> {
  const { token } = await stack.person({ permissions: ['system.view'] })
  const answer = await post(stack, token)
  expect(answer.status).toBe(200)
  return (await answer.json()) as VoiceSelfTest
}

const post = (stack: Awaited<ReturnType<typeof startNodes>>, token?: string) =>
  stack.nodes[0]!.service.app.handle(
    new Request('http://localhost/v1/voice/selftest', {
      method: 'POST',
      headers: token ? { authorization: `Bearer ${token}` } : {},
    }),
  )

const about = (findings: VoiceFinding[], what: string) => findings.filter((one) => one.about.startsWith(what))

test('addresses are known by who can reach them', () => {
  const kinds = {
    ...{ '127.0.0.1': 'loopback', '::1': 'loopback', '10.1.2.3': 'private', '172.31.0.1': 'private' },
    ...{ '192.168.1.1': 'private', 'fd00::1': 'private', '100.64.0.1': 'carrier', '100.128.0.1': 'public' },
    ...{ '169.254.1.1': 'linkLocal', 'fe80::1': 'linkLocal', '192.0.2.1': 'documentation', '0.0.0.0': 'none' },
    ...{ '224.0.0.1': 'none', '93.184.216.34': 'public', '172.32.0.1': 'public', '2606:4700::1111': 'public' },
  }
  for (const [one, kind] of Object.entries(kinds)) expect([one, kindOf(one)]).toEqual([one, kind as never])
})

test('what comes back is read by its bytes: RFC 5769’s answers, and nothing of what is no message', () => {
  const hex = (text: string) => Buffer.from(text.replaceAll(/\s/g, ''), 'hex')
  const mapped = (rest: string) => addressOf(decode(hex(rest))!, 'xorMappedAddress')
  const head = (length: string) => `0101 ${length} 2112a442 b7e7a701bc34d686fa87dfae`
  expect(mapped(`${head('000c')} 0020 0008 0001a147e112a643`)).toEqual({ address: '192.0.2.1', port: 32_853 })
  expect(mapped(`${head('0018')} 0020 0014 0002a1470113a9faa5d3f179bc25f4b5bed2b9d9`)).toEqual({
    ...{ address: '2001:db8:1234:5678:11:2233:4455:6677', port: 32_853 },
  })
  const good = encode(types.binding, { username: Buffer.from('a:b') }, { key: 'secret' })
  expect(decode(good)!.values.get('username')!.toString()).toBe('a:b')
  for (let length = 0; length < good.length; length += 1) expect(decode(good.subarray(0, length))).toBeUndefined()
  // An attribute that would reach beyond its message.
  expect(decode(hex(`${head('0008')} 0020 ffff 00000000`))).toBeUndefined()
  expect(mapped(`${head('0008')} 0020 0004 00000000`)).toBeUndefined()
})

test('it is for who may see the system', async () => {
  await using stack = await startNodes(1, { workers: 0 })
  expect((await post(stack)).status).toBe(401)
  const { token } = await stack.person()
  expect((await post(stack, token)).status).toBe(403)
})

test('voice that is off is told, and why', async () => {
  const off = await examine({ workers: 0 })
  expect(off).toContainEqual({
    ...{ about: 'media workers', state: 'warning', told: 'voice is switched off' },
    remedy: expect.stringContaining('CONNTEXT_VOICE_WORKERS'),
  })
  const locate = async () => ({ kind: 'missing', reason: 'There is no worker here.', remedy: 'Get one.' }) as const
  await using stack = await startNodes(0, { locate })
  // It is never on.
  void stack.start(0).catch(() => {})
  const found = await eventually(async () => {
    const findings = stack.nodes[0] ? (await ask(stack)).nodes.flatMap((node) => node.findings) : []
    return findings.find(({ about: what, state }) => what === 'media workers' && state === 'fault')
  })
  expect(found).toMatchObject({ told: 'There is no worker here.', remedy: 'Get one.' })
})

withWorker(`what media takes to get here${skipped}`, () => {
  test('every socket answers at every address that is told, over UDP and TCP', async () => {
    const findings = await examine({ network: { ...network, listen: ['127.0.0.1', address] }, workers: 2 })
    const ports = about(findings, 'port ')
    expect(ports).toHaveLength(2)
    for (const one of ports) {
      expect(one.state).toBe('ok')
      expect(one.told).toContain(`${address}:`)
      expect(one.told).toContain('127.0.0.1:')
    }
    expect(about(findings, 'media workers')).toMatchObject([{ state: 'ok', told: '2 up' }])
    expect(about(findings, 'media ports')).toMatchObject([{ state: 'warning' }])
    // Nobody outside reaches a machine in a test.
    expect(about(findings, 'announced')).toMatchObject([{ state: kindOf(address) === 'public' ? 'ok' : 'warning' }])
  })

  test('over IPv6 too', async () => {
    const findings = await examine({ network: { ...network, listen: ['::1'] } })
    expect(about(findings, 'port ')[0]?.told).toMatch(/UDP and TCP at \[::1\]:/)
    expect(about(findings, 'announced')).toMatchObject([{ state: 'fault', told: expect.stringContaining('::1') }])
  })

  test('an outer address that does not lead back says what that may mean', async () => {
    const announced = ['203.0.113.7']
    const findings = await examine({ network: { ...network, announced } })
    const lost = about(findings, 'port ')
    expect(lost.map(({ state }) => state)).toEqual(['warning', 'warning'])
    expect(lost.map(({ told }) => /(UDP|TCP), 203\.0\.113\.7:\d+ .*hairpin/.exec(told)?.[1])).toEqual(['UDP', 'TCP'])
    expect(lost[0]!.remedy).toMatch(/UDP \d+ forwarded/)
  })

  test('names that lead nowhere, families that nothing listens on, and addresses of nobody are named', async () => {
    const announced = ['voice.example', 'nowhere.example', '2001:db8::1', '169.254.1.1', '127.0.0.1']
    const lookup = async (name: string) => {
      if (name !== 'voice.example') throw new Error('no such name')
      return ['127.0.0.2']
    }
    const findings = about(await examine({ network: { ...network, announced }, lookup }), 'announced')
    const told = findings.map(({ state, told: text }) => `${state}: ${text}`)
    expect(told).toContainEqual('fault: nowhere.example has no address')
    expect(told).toContainEqual('fault: 2001:db8::1 is told to nobody: nothing listens on IPv6')
    expect(told).toContainEqual('fault: 169.254.1.1 only the same cable reaches')
    expect(told.some((one) => one.includes('none is public') && one.includes('127.0.0.2'))).toBe(true)
    for (const { remedy } of findings) expect(remedy).not.toBeNull()
  })

  test('a public address is enough', async () => {
    const announced = ['93.184.216.34', '192.168.1.2']
    const findings = about(await examine({ network: { ...network, announced } }), 'announced')
    expect(findings).toEqual([
      { about: 'announced addresses', state: 'ok', told: '93.184.216.34, 192.168.1.2', remedy: null },
    ])
  })

  test('ports that are taken, and ports that do not come in from outside', async () => {
    const [other, port] = [createServer(), await freePort()]
    await new Promise<void>((resolve) => other.listen(port, '127.0.0.1', resolve))
    await using stack = await startNodes(0, { network: { ...network, port, published: { first: 1, last: 2 } } })
    const starting = stack.start(0)
    const taken = await eventually(async () => {
      const findings = stack.nodes[0] ? (await ask(stack)).nodes.flatMap((node) => node.findings) : []
      return about(findings, 'media workers').find(({ state }) => state === 'fault')
    })
    expect(taken.told).toContain(`${port}`)
    other.close()
    await starting
    expect(about((await ask(stack)).nodes[0]!.findings, 'media ports')).toMatchObject([
      { state: 'fault', told: `${port} is not among those that come in from outside (1-2)` },
    ])
  }, 60_000)

  test('every node looks for itself; one that is gone is told of', async () => {
    await using stack = await startNodes(2)
    const all = await ask(stack)
    expect(new Set(all.nodes.map(({ nodeId }) => nodeId)).size).toBe(2)
    expect(all.nodes.every(({ findings }) => findings.some((one) => one.about.startsWith('port ')))).toBe(true)
    stack.unreachable.add('n1')
    const lost = (await ask(stack)).nodes.flatMap(({ findings }) => about(findings, 'node'))
    expect(lost).toMatchObject([{ state: 'fault', told: 'it is not reached from the other nodes' }])
  })
})

withRelay(`relays${skipped}`, () => {
  const SECRET = 'a secret of both of them'
  let relay: Coturn
  let strict: Coturn
  beforeAll(async () => {
    const relayAddress = address
    relay = await startCoturn({ secret: SECRET, relayAddress, lines: [`allowed-peer-ip=${address}`] })
    // As TURN_PEERS makes it, with another machine's address.
    const lines = ['denied-peer-ip=0.0.0.0-255.255.255.255', 'allowed-peer-ip=203.0.113.9']
    strict = await startCoturn({ secret: SECRET, relayAddress, lines })
  })
  afterAll(async () => {
    await relay?.[Symbol.asyncDispose]()
    await strict?.[Symbol.asyncDispose]()
  })

  const iceOf = (urls: string[], over: { secret?: string; ttlSeconds?: number } = {}): RealtimeDeps['ice'] => ({
    ...{ stunUrls: [], policy: 'all' },
    turn: { urls, secret: SECRET, ttlSeconds: 60, ...over },
  })
  const local = { ...network, listen: [address] }
  const found = async (ice: RealtimeDeps['ice'], over: Partial<RealtimeDeps> = {}) =>
    about(await examine({ network: local, ice, ...over }), 'relay').map(({ state, told }) => `${state}: ${told}`)

  test('are asked over UDP and TCP for a way to the worker', async () => {
    const urls = [`turn:127.0.0.1:${relay.port}`, `turn:127.0.0.1:${relay.port}?transport=tcp`]
    const told = await found(iceOf(urls))
    const passed = told.filter((one) => one.startsWith('ok: gives relays, which get to'))
    expect(passed).toHaveLength(2)
    for (const one of passed) expect(one).toContain(`${address}:`)
    expect(told.filter((one) => one.includes('only this machine itself reaches'))).toHaveLength(2)
  })

  test('that have another secret, or another time, or do not run, are told apart', async () => {
    const at = [`turn:127.0.0.1:${relay.port}`]
    expect(await found(iceOf(at, { secret: 'another secret there' }))).toContain('fault: refuses our credentials')
    expect(await found(iceOf(at, { ttlSeconds: -600 }))).toContainEqual(expect.stringMatching(/its clock is/))
    const nobody = await found(iceOf(['turn:127.0.0.1:9?transport=tcp', 'turn:nowhere.invalid']))
    expect(nobody).toContain('fault: is not reached at 127.0.0.1:9 (ECONNREFUSED)')
    expect(nobody).toContain('fault: nowhere.invalid has no address')
  })

  test('that refuse to relay to the worker say so', async () => {
    const told = await found(iceOf([`turn:127.0.0.1:${strict.port}`]))
    expect(told).toContain(`fault: refuses to relay to ${address}`)
  })

  test('are none where none are set up', async () => {
    expect(await found({ stunUrls: [], turn: undefined, policy: 'all' })).toEqual([
      expect.stringContaining('ok: none is set up'),
    ])
  })
})
