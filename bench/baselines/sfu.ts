// Bare mediasoup: one worker, one router, the same signalling over a WebSocket with nothing around it: nobody is known,
// nothing is checked, nobody is told of anybody. In its transports and codecs it is as a call is.
//   bun sfu.ts PATH-OF-THE-WORKER
import { createWorker } from 'mediasoup'
import type { Consumer, DtlsParameters, MediaKind, Producer, RtpCapabilities, WebRtcTransport } from 'mediasoup/types'
import { endWithParent } from './parent.ts'

type Frame = {
  op: string
  id: number
  direction: string
  transportId: string
  producerId: string
  consumerId: string
  kind: MediaKind
  rtpCapabilities: RtpCapabilities
  dtlsParameters: DtlsParameters
  rtpParameters: Parameters<WebRtcTransport['produce']>[0]['rtpParameters']
}
type Peer = {
  transports: Map<string, WebRtcTransport>
  consumers: Map<string, Consumer>
  rtpCapabilities: RtpCapabilities
}

const worker = await createWorker({ workerBin: process.argv[2]! })
const listenInfos = (['udp', 'tcp'] as const).map((protocol) => ({ protocol, ip: '127.0.0.1' }))
const server = await worker.createWebRtcServer({ listenInfos })
const router = await worker.createRouter({
  mediaCodecs: [
    { kind: 'audio', mimeType: 'audio/opus', clockRate: 48_000, channels: 2 },
    { kind: 'video', mimeType: 'video/VP8', clockRate: 90_000 },
  ],
})
const producers = new Map<string, Producer>()

const operations: Record<string, (peer: Peer, frame: Frame) => unknown> = {
  'voice.join'(peer, { rtpCapabilities }) {
    peer.rtpCapabilities = rtpCapabilities
    return { rtpCapabilities: router.rtpCapabilities, producers: [...producers.values()].map(({ id }) => ({ id })) }
  },
  async 'voice.createTransport'(peer) {
    const transport = await router.createWebRtcTransport({
      webRtcServer: server,
      initialAvailableOutgoingBitrate: 800_000,
      ...{ enableUdp: true, enableTcp: true, preferUdp: true },
    })
    peer.transports.set(transport.id, transport)
    const { id, iceParameters, iceCandidates, dtlsParameters } = transport
    return { id, iceParameters, iceCandidates, dtlsParameters }
  },
  'voice.connectTransport': ({ transports }, { transportId, dtlsParameters }) =>
    transports.get(transportId)!.connect({ dtlsParameters }),
  async 'voice.produce'({ transports }, { transportId, kind, rtpParameters }) {
    const producer = await transports.get(transportId)!.produce({ kind, rtpParameters })
    producers.set(producer.id, producer)
    producer.observer.once('close', () => producers.delete(producer.id))
    return { producerId: producer.id }
  },
  async 'voice.consume'({ transports, consumers, rtpCapabilities }, { transportId, producerId }) {
    const consumer = await transports.get(transportId)!.consume({ producerId, rtpCapabilities, paused: true })
    consumers.set(consumer.id, consumer)
    const { id, kind, rtpParameters } = consumer
    return { id, kind, producerId, rtpParameters }
  },
  'voice.resumeConsumer': ({ consumers }, { consumerId }) => consumers.get(consumerId)!.resume(),
  'voice.leave': leave,
}

function leave({ transports, consumers }: Peer): void {
  for (const transport of transports.values()) transport.close()
  transports.clear()
  consumers.clear()
}

const http = Bun.serve<Peer>({
  port: 0,
  hostname: '127.0.0.1',
  fetch: (request, own) =>
    own.upgrade(request, { data: { transports: new Map(), consumers: new Map(), rtpCapabilities: { codecs: [] } } })
      ? undefined
      : new Response(null, { status: 400 }),
  websocket: {
    async message(socket, text) {
      const frame = JSON.parse(text as string) as Frame
      const d = (await operations[frame.op]!(socket.data, frame)) ?? {}
      socket.send(JSON.stringify({ op: 'reply', id: frame.id, ok: true, d }))
    },
    close: ({ data }) => leave(data),
  },
})
console.log(http.port)
endWithParent()
