import { describe, expect, test } from 'bun:test'
import { createServer } from 'node:net'
import { networkInterfaces } from 'node:os'
import { eventually } from '@conntext/testing'
import type { IceCandidate } from 'mediasoup/types'
import { announcedCandidates, listenInfos, ownAddresses } from '../src/media/addresses.ts'
import { realtimeRules, toRealtimeConfig } from '../src/settings.ts'
import { receive, send } from './support/media.ts'
import { hasWorker, network, skipped, startNodes } from './support/stack.ts'

const withWorker = hasWorker ? test : test.skip
const hasIPv6 = Object.values(networkInterfaces()).some((cards) => cards?.some(({ address }) => address === '::1'))

const candidate = (ip: string): IceCandidate => ({
  ...{ foundation: 'udpcandidate', priority: 1000, ip, address: ip, protocol: 'udp', port: 40_000, type: 'host' },
})
const addresses = (bound: string[], announced: string[]) =>
  announcedCandidates(bound.map(candidate), announced).map(({ address }) => address)

describe('what clients are told', () => {
  test('every announced address of the socket’s family, and names; the first with the highest priority', () => {
    const all = announcedCandidates([candidate('0.0.0.0')], ['192.0.2.1', '2001:db8::1', 'voice.example'])
    expect(all.map(({ address, priority }) => [address, priority])).toEqual([
      ['192.0.2.1', 1000],
      ['voice.example', 999],
    ])
    expect(new Set(all.map(({ foundation }) => foundation)).size).toBe(2)
    expect(addresses(['0.0.0.0', '::'], ['192.0.2.1', '2001:db8::1'])).toEqual(['192.0.2.1', '2001:db8::1'])
  })

  test('without any: the address listened on, or all that the machine has; never one that is none', () => {
    expect(addresses(['127.0.0.1'], [])).toEqual(['127.0.0.1'])
    expect(addresses(['0.0.0.0'], [])).toEqual(ownAddresses().ipv4.slice(0, 8))
    expect(addresses(['0.0.0.0', '::'], []).some((address) => address === '::' || address === '0.0.0.0')).toBe(false)
  })

  test('each listen address has a UDP and a TCP socket, on one port', () => {
    const infos = listenInfos(['0.0.0.0', '::'], 40_000)
    expect(infos.map(({ protocol, ip, port }) => [protocol, ip, port])).toEqual([
      ['udp', '0.0.0.0', 40_000],
      ['tcp', '0.0.0.0', 40_000],
      ['udp', '::', 40_000],
      ['tcp', '::', 40_000],
    ])
  })
})

test('the settings are read, and what is no address to listen on is named', () => {
  const given = {
    ...{ CONNTEXT_VOICE_PORT: 40_000, CONNTEXT_VOICE_MAX_PARTICIPANTS: 100 },
    ...{ CONNTEXT_TURN_TTL_SECONDS: 600, CONNTEXT_ICE_POLICY: 'all' as const },
  }
  const more = {
    CONNTEXT_VOICE_LISTEN_ADDRESSES: '192.0.2.1, ::1',
    CONNTEXT_VOICE_ANNOUNCED_ADDRESSES: 'a.example,::2',
  }
  expect(toRealtimeConfig({ ...given, ...more }).network).toEqual({
    ...{ port: 40_000, listen: ['192.0.2.1', '::1'] },
    announced: ['a.example', '::2'],
  })
  expect(toRealtimeConfig(given).network.listen).toContain('0.0.0.0')
  const faults = (text: string) => realtimeRules.flatMap((rule) => rule({ CONNTEXT_VOICE_LISTEN_ADDRESSES: text }))
  expect(faults('192.0.2.1,::')).toEqual([])
  expect(faults('example.com')).toMatchObject([{ setting: 'CONNTEXT_VOICE_LISTEN_ADDRESSES' }])
})

const call = async (options: Parameters<typeof startNodes>[1], media: Parameters<typeof send>[2]) => {
  await using stack = await startNodes(1, options)
  const channel = await stack.voiceChannel()
  const [anna, bert] = [await stack.person(), await stack.person()]
  await anna.join(channel.id)
  await bert.join(channel.id)
  const sender = await send(anna, ['audio'], media)
  const receiver = await receive(bert, sender.producerIds, media)
  await receiver.gets(sender.producerIds[0]!)
  const { transports } = await bert.port.voiceStats({ participant: bert.participant })
  sender.close()
  receiver.close()
  return transports[0]!.protocol
}

withWorker(`TCP is open beside UDP, on the same port${skipped}`, async () => {
  await using stack = await startNodes(1)
  const anna = await stack.person()
  await anna.join((await stack.voiceChannel()).id)
  const { iceCandidates } = await anna.transport('recv')
  expect(iceCandidates.map(({ protocol }) => protocol)).toEqual(['udp', 'tcp'])
  const tcp = iceCandidates.find(({ protocol }) => protocol === 'tcp')!
  expect(tcp.tcpType).toBe('passive')
  using socket = await Bun.connect({ hostname: tcp.address, port: tcp.port, socket: { data() {} } })
  expect(socket.readyState).toBe(1)
})

withWorker(`clients are told the addresses of announced names, and of each that is known${skipped}`, async () => {
  const announced = ['home.example', 'nowhere.example', '192.0.2.9']
  const lookup = async (name: string) => {
    if (name !== 'home.example') throw new Error('no such name')
    return ['192.0.2.8', '2001:db8::8']
  }
  await using stack = await startNodes(1, { network: { ...network, announced }, lookup })
  const anna = await stack.person()
  await anna.join((await stack.voiceChannel()).id)
  const { iceCandidates } = await anna.transport('recv')
  const udp = iceCandidates.filter(({ protocol }) => protocol === 'udp').map(({ address }) => address)
  // What has never been found is left for them to try.
  expect(udp).toEqual(['192.0.2.8', 'nowhere.example', '192.0.2.9'])
})

withWorker.skipIf(!hasIPv6)(`media goes over IPv6${skipped}`, async () => {
  expect(await call({ network: { ...network, listen: ['::1'] } }, { address: '::1' })).toBe('udp')
})

withWorker(
  `a port that is taken is told, and used as soon as it is free${skipped}`,
  async () => {
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    const { port } = other.address() as { port: number }
    await using stack = await startNodes(0, { network: { ...network, port } })
    const starting = stack.start(0)
    await eventually(async () => {
      const status = await stack.nodes[0]?.port.voiceStatus({})
      return status?.state === 'degraded' && status.reason?.includes(String(port)) && status.remedy !== null
    })
    other.close()
    await starting
    const anna = await stack.person()
    const { joined } = await anna.join((await stack.voiceChannel()).id)
    expect(joined.resumed).toBe(false)
    const { iceCandidates } = await anna.transport('send')
    expect(new Set(iceCandidates.map((one) => one.port))).toEqual(new Set([port]))
  },
  20_000,
)
