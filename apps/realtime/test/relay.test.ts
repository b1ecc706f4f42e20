import { describe, expect, test } from 'bun:test'
import { networkInterfaces } from 'node:os'
import { eventually } from '@conntext/testing'
import { type Coturn, type CoturnOptions, hasCoturn, startCoturn } from '@conntext/testing/coturn'
import * as media from '@conntext/testing/media'
import { turnCredentials } from '../src/ice/servers.ts'
import { ownAddresses } from '../src/media/addresses.ts'
import { addressOf, encode, isSuccess, types, uint32 } from '../src/selftest/stun.ts'
import { openRelay, TurnRefused } from '../src/selftest/turn.ts'
import type { Way } from '../src/selftest/wire.ts'
import { bridge, rfc4571, turn } from './support/bridges.ts'
import { signalling } from './support/media.ts'
import type { Person } from './support/person.ts'
import { hasWorker, network, skipped, startNodes } from './support/stack.ts'

const withWorker = hasWorker ? describe : describe.skip

// A relay sends to no loopback: the worker is on an address of the machine's own.
const [address = '127.0.0.1'] = ownAddresses().ipv4
// Clients are on IPv6 alone, the worker is on IPv4 alone: nothing but the relay is between them. That a client wants
// none but relayed candidates would not do, since node-datachannel only keeps the others to itself.
const CLIENT = '::1'
const hasBoth = Object.values(networkInterfaces()).some((cards) => cards?.some((card) => card.address === CLIENT))
const withRelay = hasWorker && hasCoturn() && hasBoth ? describe : describe.skip
const noRelay = hasCoturn() ? skipped : ' (skipped: there is no coturn here)'

const coturn = (options: CoturnOptions = {}) =>
  startCoturn({ address: CLIENT, relayAddress: address, lines: [`allowed-peer-ip=${address}`], ...options })

const ways: [string, Way][] = [
  ['UDP', { protocol: 'udp' }],
  ['TCP', { protocol: 'tcp', framing: 'turn' }],
]
const loginOf = ({ secret }: Pick<Coturn, 'secret'>, ttlSeconds = 60) =>
  turnCredentials({ secret, ttlSeconds }, crypto.randomUUID(), new Date())
const at = ({ host, port }: Coturn) => ({ address: host, port })

/** Two people, of whom one really sends and the other really receives; answers by which protocol it got to the node. */
async function call(
  by: (person: Person) => { signalling: media.Signalling; options?: media.MediaOptions },
  listen = address,
) {
  await using stack = await startNodes(1, { network: { ...network, listen: [listen] } })
  const channel = await stack.voiceChannel()
  const [anna, bert] = [await stack.person(), await stack.person()]
  await anna.join(channel.id)
  await bert.join(channel.id)
  const [annas, berts] = [by(anna), by(bert)]
  const sender = await media.send(annas.signalling, ['audio', 'video'], annas.options)
  const receiver = await media.receive(berts.signalling, sender.producerIds, berts.options)
  for (const id of sender.producerIds) await receiver.gets(id)
  const { transports } = await bert.port.voiceStats({ participant: bert.participant })
  sender.close()
  receiver.close()
  return transports[0]!
}

withRelay(`through coturn and nothing else${noRelay}`, () => {
  const by =
    (relay: { host: string; port: number }, { secret }: Coturn) =>
    (person: Person) => ({
      signalling: signalling(person),
      options: { address: CLIENT, relay: { ...relay, ...loginOf({ secret }) } },
    })

  test('media goes both ways, over UDP to the relay', async () => {
    await using relay = await coturn()
    expect((await call(by(relay, relay))).protocol).toBe('udp')
    expect(await relay.log()).toMatch(/(CREATE_PERMISSION|CHANNEL_BIND) processed, success/)
  }, 30_000)

  test('media goes both ways, over TCP to the relay', async () => {
    await using relay = await coturn({ lines: [`allowed-peer-ip=${address}`, 'no-udp'] })
    // node-datachannel speaks TURN over UDP alone: what it says is carried over TCP, byte for byte.
    const carried = await bridge(relay, turn, CLIENT)
    try {
      expect((await call(by(carried, relay))).protocol).toBe('udp')
      expect(await relay.log()).toMatch(/(CREATE_PERMISSION|CHANNEL_BIND) processed, success/)
      expect(await relay.log()).not.toContain('UDP listener opened')
    } finally {
      carried.close()
    }
  }, 30_000)

  test('a relay that is told of other machines alone lets nobody through', async () => {
    // As TURN_PEERS makes it.
    const lines = ['denied-peer-ip=0.0.0.0-255.255.255.255', 'allowed-peer-ip=203.0.113.9']
    await using relay = await coturn({ lines })
    await using stack = await startNodes(1, { network: { ...network, listen: [address] } })
    const anna = await stack.person()
    await anna.join((await stack.voiceChannel()).id)
    const { signalling: its, options } = by(relay, relay)(anna)
    void media.send(its, ['audio'], options).catch(() => {})
    await eventually(async () => /error 403/.test(await relay.log()))
    const { transports } = await anna.port.voiceStats({ participant: anna.participant })
    expect(transports).toMatchObject([{ iceState: 'new', dtlsState: 'new' }])
  }, 30_000)

  test('a relay that is open goes on when the credentials have ended', async () => {
    await using relay = await coturn()
    await using stack = await startNodes(1, { network: { ...network, listen: [address] } })
    const [, way] = ways[0]!
    const login = loginOf(relay, 5)
    const open = await openRelay(at(relay), way, login, 3_000)
    await eventually(async () => {
      const again = await openRelay(at(relay), way, login, 3_000).catch((error: unknown) => error)
      if (again instanceof TurnRefused) return again.code === 401
      await (again as typeof open).close()
      return false
    })
    const anna = await stack.person()
    await anna.join((await stack.voiceChannel()).id)
    const { iceParameters, iceCandidates } = await anna.transport('send')
    const { usernameFragment, password: key } = iceParameters
    const username = Buffer.from(`${usernameFragment}:x`)
    const request = encode(types.binding, { username, priority: uint32(1), iceControlling: Buffer.alloc(8) }, { key })
    const answer = await open.ask(iceCandidates.find(({ protocol }) => protocol === 'udp')!, request)
    expect(isSuccess(types.binding, answer)).toBe(true)
    expect(addressOf(answer, 'xorMappedAddress')).toEqual(open.relayed)
    await open.close()
  }, 30_000)

  test.each(ways)(
    'credentials are good over %s until they end, and no others are',
    async (_, way) => {
      await using relay = await coturn()
      const refused = async (login: ReturnType<typeof loginOf>) => {
        const error = await openRelay(at(relay), way, login, 3_000).catch((thrown: unknown) => thrown)
        return error instanceof TurnRefused ? error.code : error
      }
      const good = await openRelay(at(relay), way, loginOf(relay), 3_000)
      expect(good.relayed.address).toBe(address)
      expect(good.mapped?.address).toBe(CLIENT)
      await good.close()
      expect(await refused(loginOf(relay, -5))).toBe(401)
      expect(await refused(loginOf({ secret: 'another secret' }))).toBe(401)
      const { username, credential } = loginOf(relay)
      const [expires, userId] = username.split(':')
      // Neither somebody else's, nor for longer.
      expect(await refused({ username: `${expires}:x`, credential, expiresAt: new Date() })).toBe(401)
      expect(await refused({ username: `${Number(expires) + 60}:${userId}`, credential, expiresAt: new Date() })).toBe(
        401,
      )
    },
    30_000,
  )
})

withWorker(`over TCP alone${skipped}`, () => {
  test('media goes both ways', async () => {
    const bridges: { close(): void }[] = []
    try {
      const transport = await call((person) => {
        const by = signalling(person)
        // node-datachannel has no ICE over TCP: what it sends is carried to the worker's TCP port.
        const createTransport: typeof by.createTransport = async (direction) => {
          const made = await by.createTransport(direction)
          const tcp = made.iceCandidates.find(({ protocol }) => protocol === 'tcp')!
          const carried = await bridge({ host: tcp.address, port: tcp.port }, rfc4571)
          bridges.push(carried)
          const { host, port } = carried
          return { ...made, iceCandidates: [{ ...tcp, protocol: 'udp', address: host, ip: host, port }] }
        }
        return { signalling: { ...by, createTransport } }
      }, '127.0.0.1')
      expect(transport.protocol).toBe('tcp')
    } finally {
      for (const one of bridges) one.close()
    }
  }, 20_000)
})
