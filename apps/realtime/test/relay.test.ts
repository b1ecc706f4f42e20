import { describe, expect, test } from 'bun:test'
import { type Coturn, type CoturnOptions, hasCoturn, startCoturn } from '@conntext/testing/coturn'
import * as media from '@conntext/testing/media'
import { turnCredentials } from '../src/ice/servers.ts'
import { ownAddresses } from '../src/media/addresses.ts'
import { openRelay, TurnRefused } from '../src/selftest/turn.ts'
import type { Way } from '../src/selftest/wire.ts'
import { bridge, rfc4571, turn } from './support/bridges.ts'
import { signalling } from './support/media.ts'
import type { Person } from './support/person.ts'
import { hasWorker, network, skipped, startNodes } from './support/stack.ts'

const withWorker = hasWorker ? describe : describe.skip
const withRelay = hasWorker && hasCoturn() ? describe : describe.skip
const noRelay = hasCoturn() ? skipped : ' (skipped: there is no coturn here)'

// A relay sends to no loopback: the worker is on an address of the machine's own.
const [address = '127.0.0.1'] = ownAddresses().ipv4
const coturn = (options: CoturnOptions = {}) =>
  startCoturn({ relayAddress: address, lines: [`allowed-peer-ip=${address}`], ...options })

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
  test('media goes both ways, over UDP to the relay', async () => {
    await using relay = await coturn()
    const transport = await call((person) => ({
      signalling: signalling(person),
      options: { relay: { host: relay.host, port: relay.port, ...loginOf(relay) } },
    }))
    expect([transport.protocol, transport.iceState]).toEqual(['udp', 'connected'])
    expect(await relay.log()).toMatch(/peer usage: .*rp=[1-9]/)
  }, 30_000)

  test('media goes both ways, over TCP to the relay', async () => {
    await using relay = await coturn({ lines: [`allowed-peer-ip=${address}`, 'no-udp'] })
    // node-datachannel speaks TURN over UDP alone: what it says is carried over TCP, byte for byte.
    const carried = await bridge(relay, turn)
    try {
      const transport = await call((person) => ({
        signalling: signalling(person),
        options: { relay: { host: carried.host, port: carried.port, ...loginOf(relay) } },
      }))
      expect(transport.protocol).toBe('udp')
      expect(await relay.log()).toMatch(/TCP|tcp/)
    } finally {
      carried.close()
    }
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
      expect(good.mapped?.address).toBe('127.0.0.1')
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
