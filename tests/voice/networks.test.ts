import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { networkInterfaces } from 'node:os'
import { type Deployment, eventually, startDeployment } from '@conntext/testing'
import { chromiumPath, type Page } from '@conntext/testing/browser'
import { type Coturn, hasCoturn, startCoturn } from '@conntext/testing/coturn'
import { happened, hears, leaveAll, seesMore } from './looks.ts'
import { type Player, type Stage, setStage, VOICE_SETTINGS } from './stage.ts'

const path = chromiumPath()
if (path === undefined) console.log('No Chromium: networks are not tried in it. CONNTEXT_TEST_CHROMIUM names one.')
if (!hasCoturn()) console.log('No coturn: calls through a relay are not tried.')

const MINUTE = 60_000
// A relay sends to no loopback, and a browser asks for one from an address of the machine's own.
const [address = '127.0.0.1'] = Object.values(networkInterfaces()).flatMap((cards) =>
  (cards ?? []).flatMap((card) => (card.family === 'IPv4' && !card.internal ? [card.address] : [])),
)

/** `prflx`: from where a connection happened to be made, as is usual over TCP. */
type Way = { protocol: string; type: string; relayProtocol?: string }
type Narrowed = { connections: RTCPeerConnection[]; Wide: typeof RTCPeerConnection }

const RELAYED: Way = { protocol: 'udp', type: 'relay', relayProtocol: 'udp' }

/** What a page's network is like: no UDP gets through, or only that relay is let through whose URL ends like this. */
type Network = { udp?: false; relay?: string }

/** Puts a page into a network; before it is in a call. */
const put = (page: Page, network: Network): Promise<void> =>
  page.run(async ({ udp, relay }: Network) => {
    const page = globalThis as unknown as Partial<Narrowed>
    const connections: RTCPeerConnection[] = []
    // Of the network that it was in before nothing is left.
    const Wide = page.Wide ?? RTCPeerConnection
    const isThere = (url: string) => relay === undefined || url.endsWith(relay)
    class Narrow extends Wide {
      constructor({ iceServers = [], ...configuration }: RTCConfiguration = {}) {
        const there = iceServers.map((server) => ({ ...server, urls: [server.urls].flat().filter(isThere) }))
        super({ ...configuration, iceServers: there.filter(({ urls }) => urls.length > 0) })
        connections.push(this)
      }
      override setRemoteDescription({ type, sdp = '' }: RTCSessionDescriptionInit): Promise<void> {
        // Where nobody answers.
        const away = udp === false ? sdp.replace(/^(a=candidate:\S+ \d udp \d+ \S+) \d+/gim, '$1 9') : sdp
        return super.setRemoteDescription({ type, sdp: away })
      }
    }
    Object.assign(globalThis, { RTCPeerConnection: Narrow, connections, Wide })
  }, network)

/** By which way the media of a page goes that was put into a network. */
const ways = (page: Page): Promise<Way[]> =>
  page.run(async () => {
    const { connections } = globalThis as unknown as Narrowed
    const open = connections.filter(({ connectionState }) => connectionState === 'connected')
    const found = open.map(async (connection) => {
      const stats = new Map([...(await connection.getStats()).values()].map((stat) => [stat.id, stat]))
      const transport = [...stats.values()].find(({ type }) => type === 'transport')
      const local = stats.get(stats.get(transport?.selectedCandidatePairId)?.localCandidateId)
      return { protocol: local?.protocol, type: local?.candidateType, relayProtocol: local?.relayProtocol }
    })
    return Promise.all(found)
  }, null)

/** What the server calls itself in ICE, of each connection: another thing after each restart. */
const fragments = (page: Page): Promise<string[]> =>
  page.run(async () => {
    const { connections } = globalThis as unknown as Narrowed
    const open = connections.filter(({ connectionState }) => connectionState !== 'closed')
    return open.map(({ remoteDescription }) => /^a=ice-ufrag:(.*)$/m.exec(remoteDescription?.sdp ?? '')?.[1] ?? '')
  }, null)

/** Two people hear and see one another, by the ways that are wanted and no others. */
async function talk(stage: Stage, [ada, ben]: Player[], { network, by }: { network: Network; by: Way }) {
  const channelId = await stage.channel(crypto.randomUUID())
  for (const one of [ada!, ben!]) {
    await put(one.page, network)
    await one.join(channelId)
  }
  await Promise.all([ada!.speak(400), ada!.showCamera(), ben!.speak(700), ben!.showCamera()])
  await hears(ada!, { [ben!.userId]: 700 })
  await hears(ben!, { [ada!.userId]: 400 })
  await seesMore(ada!, ben!)
  await seesMore(ben!, ada!)
  for (const { page } of [ada!, ben!]) expect(await ways(page)).toEqual([by, by])
}

describe.skipIf(path === undefined)('in a network that lets no UDP through', () => {
  let server: Deployment
  let stage: Stage
  let people: Player[]

  beforeAll(async () => {
    server = await startDeployment(VOICE_SETTINGS)
    stage = await setStage(server.url, path!)
    people = [await stage.enter('ada'), await stage.enter('ben')]
  }, 2 * MINUTE)
  afterEach(() => leaveAll(people))
  afterAll(async () => {
    await stage?.[Symbol.asyncDispose]()
    await server?.[Symbol.asyncDispose]()
  }, MINUTE)

  test(
    'people hear and see one another over TCP',
    async () => {
      const by = { protocol: 'tcp', type: 'prflx' }
      await talk(stage, people, { network: { udp: false }, by })
    },
    MINUTE,
  )
})

describe.skipIf(path === undefined || !hasCoturn())('where all media goes by a relay', () => {
  let relays: Coturn[]
  let server: Deployment
  let stage: Stage
  let people: Player[]

  beforeAll(async () => {
    const secret = crypto.randomUUID()
    const relay = (line: string) => startCoturn({ secret, address, lines: [`allowed-peer-ip=${address}`, line] })
    relays = await Promise.all([relay('no-tcp'), relay('no-udp')])
    const [udp, tcp] = relays.map(({ host, port }) => `turn:${host}:${port}`)
    server = await startDeployment({
      ...VOICE_SETTINGS,
      CONNTEXT_VOICE_LISTEN_ADDRESSES: address,
      CONNTEXT_TURN_URLS: `${udp}?transport=udp,${tcp}?transport=tcp`,
      CONNTEXT_TURN_SECRET: secret,
      CONNTEXT_ICE_POLICY: 'relay',
    })
    stage = await setStage(server.url, path!)
    people = [await stage.enter('ada'), await stage.enter('ben')]
  }, 2 * MINUTE)
  afterEach(() => leaveAll(people))
  afterAll(async () => {
    await stage?.[Symbol.asyncDispose]()
    await server?.[Symbol.asyncDispose]()
    for (const relay of relays ?? []) await relay[Symbol.asyncDispose]()
  }, MINUTE)

  test.each(['udp', 'tcp'])(
    'people hear and see one another, with %s to the relay',
    async (relayProtocol) => {
      const by = { ...RELAYED, relayProtocol }
      await talk(stage, people, { network: { relay: `transport=${relayProtocol}` }, by })
      const relay = relays[relayProtocol === 'udp' ? 0 : 1]!
      expect(await relay.log()).toMatch(/(CREATE_PERMISSION|CHANNEL_BIND) processed, success/)
    },
    MINUTE,
  )

  test(
    'media finds another way by itself when the one that it had is gone, and the call stays the same',
    async () => {
      const [ada, ben] = people as [Player, Player]
      await talk(stage, people, { network: { relay: 'transport=udp' }, by: RELAYED })
      const [before, { producers }] = [await fragments(ada.page), await ben.state()]
      await relays[0]!.restart()
      await eventually(async () => !(await fragments(ada.page)).some((one) => before.includes(one)), MINUTE)
      await seesMore(ben, ada, 10, MINUTE)
      await hears(ben, { [ada.userId]: 400 })
      await hears(ada, { [ben.userId]: 700 })
      expect((await ben.state()).producers).toEqual(producers)
      for (const one of people) expect(await happened(one, 'interrupted')).toEqual([])
    },
    3 * MINUTE,
  )
})
