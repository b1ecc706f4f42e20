import type {
  DtlsParameters,
  RtpCapabilities,
  RtpParameters,
  VoiceConsumer,
  VoiceSource,
  VoiceTransport,
} from '@conntext/contracts'
import nodeDataChannel, { type PeerConnection, type Track } from 'node-datachannel'
import { eventually } from './poll.ts'

/** How somebody in a call asks for what media needs, by whichever way. */
export type Signalling = {
  createTransport(direction: 'send' | 'recv'): Promise<VoiceTransport>
  connectTransport(transportId: string, dtlsParameters: DtlsParameters): Promise<unknown>
  produce(asked: {
    transportId: string
    kind: 'audio' | 'video'
    source: VoiceSource
    rtpParameters: RtpParameters
  }): Promise<{ producerId: string }>
  consume(transportId: string, producerId: string): Promise<VoiceConsumer>
  resumeConsumer(consumerId: string): Promise<unknown>
}

let ssrc = 1_000
/** A stream of opus with its level, of an SSRC that nobody else has. */
export const opus = (own = ++ssrc) => ({
  codecs: [{ mimeType: 'audio/opus', payloadType: 111, clockRate: 48_000, channels: 2 }],
  headerExtensions: [{ uri: 'urn:ietf:params:rtp-hdrext:ssrc-audio-level', id: 1 }],
  encodings: [{ ssrc: own }],
  rtcp: { cname: `c${own}` },
})
export const RTCP_FEEDBACK = [{ type: 'nack' }, { type: 'nack', parameter: 'pli' }]
export const vp8 = (own = ++ssrc) => ({
  codecs: [{ mimeType: 'video/VP8', payloadType: 96, clockRate: 90_000, rtcpFeedback: RTCP_FEEDBACK }],
  encodings: [{ ssrc: own }],
  rtcp: { cname: `c${own}` },
})

/** What somebody can receive: opus and VP8. */
export const capabilities: RtpCapabilities = {
  codecs: [
    { kind: 'audio', mimeType: 'audio/opus', preferredPayloadType: 100, clockRate: 48_000, channels: 2 },
    { kind: 'video', mimeType: 'video/VP8', preferredPayloadType: 101, clockRate: 90_000, rtcpFeedback: RTCP_FEEDBACK },
  ],
  headerExtensions: [],
}

/** Parameters of DTLS that fit their schema, of nobody's certificate. */
export const DTLS = {
  role: 'client' as const,
  fingerprints: [{ algorithm: 'sha-256' as const, value: Array.from({ length: 32 }, () => 'AB').join(':') }],
}

type Kind = 'audio' | 'video'
type Section = { kind: Kind; mid: string; payloadType: number; direction: string; ssrc?: number }

const CODEC = { audio: 'opus/48000/2', video: 'VP8/90000' }
const PAYLOAD = { audio: 111, video: 96 }
const VP8_KEY_FRAME = [0x10, 0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0x00]

/** What a browser's other end would say in SDP, of a transport of the node's. */
function remoteSdp(transport: VoiceTransport, setup: string, sections: Section[]): string {
  const { iceParameters, iceCandidates, dtlsParameters } = transport
  const fingerprint = dtlsParameters.fingerprints.find(({ algorithm }) => algorithm === 'sha-256')!
  const shared = [
    `a=ice-ufrag:${iceParameters.usernameFragment}`,
    `a=ice-pwd:${iceParameters.password}`,
    `a=fingerprint:sha-256 ${fingerprint.value}`,
    `a=setup:${setup}`,
    ...iceCandidates
      .filter(({ protocol }) => protocol === 'udp')
      .map((one) => `a=candidate:${one.foundation} 1 udp ${one.priority} ${one.ip} ${one.port} typ host`),
    'a=rtcp-mux',
  ]
  const head = ['v=0', 'o=- 1 1 IN IP4 127.0.0.1', 's=-', 't=0 0', 'a=ice-lite']
  const bodies = sections.flatMap(({ kind, mid, payloadType, direction, ssrc }) => [
    `m=${kind} 9 UDP/TLS/RTP/SAVPF ${payloadType}`,
    'c=IN IP4 127.0.0.1',
    `a=rtpmap:${payloadType} ${CODEC[kind]}`,
    `a=mid:${mid}`,
    `a=${direction}`,
    ...(ssrc === undefined ? [] : [`a=ssrc:${ssrc} cname:x`]),
    ...shared,
  ])
  return [...head, `a=group:BUNDLE ${sections.map(({ mid }) => mid).join(' ')}`, ...bodies, ''].join('\r\n')
}

/** Where the client is; a fingerprint that isn't its own; the relay that all goes by. */
export type MediaOptions = {
  address?: string
  forged?: DtlsParameters
  relay?: { host: string; port: number; username: string; credential: string }
}

const peer = (name: string, { address = '127.0.0.1', relay }: MediaOptions) =>
  new nodeDataChannel.PeerConnection(name, {
    ...{ disableAutoNegotiation: true, bindAddress: address },
    iceServers: relay ? [serverOf(relay)] : [],
    ...(relay ? { iceTransportPolicy: 'relay' } : {}),
  })

const serverOf = ({ host, port, username, credential }: NonNullable<MediaOptions['relay']>) => ({
  ...{ hostname: host, port, username, password: credential },
  relayType: 'TurnUdp' as const,
})

function describe(connection: PeerConnection, type: 'offer' | 'answer'): Promise<string> {
  return new Promise((resolve) => {
    connection.onLocalDescription((sdp) => resolve(sdp))
    connection.setLocalDescription(type)
  })
}

function connected(connection: PeerConnection): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  connection.onStateChange((state) => {
    if (state === 'connected') resolve()
    if (state === 'failed') reject(new Error('the media connection failed'))
  })
  return promise
}

function dtlsOf(sdp: string) {
  const [, value] = /a=fingerprint:sha-256 (\S+)/i.exec(sdp)!
  return { role: 'client' as const, fingerprints: [{ algorithm: 'sha-256' as const, value: value! }] }
}

/** Really sends opus and VP8 into the call, until disposed. */
export async function send(by: Signalling, kinds: Kind[] = ['audio', 'video'], options: MediaOptions = {}) {
  const { forged } = options
  const transport = await by.createTransport('send')
  const connection = peer('sender', options)
  const parameters = { audio: opus(), video: vp8() }
  const ssrcOf = (kind: Kind) => parameters[kind].encodings[0]!.ssrc
  const tracks = kinds.map((kind) => {
    const media =
      kind === 'audio' ? new nodeDataChannel.Audio(kind, 'SendOnly') : new nodeDataChannel.Video(kind, 'SendOnly')
    if (media instanceof nodeDataChannel.Audio) media.addOpusCodec(PAYLOAD.audio)
    else media.addVP8Codec(PAYLOAD.video)
    media.addSSRC(ssrcOf(kind), 'x', 's', kind)
    return { kind, track: connection.addTrack(media) }
  })
  const offer = await describe(connection, 'offer')
  await by.connectTransport(transport.id, forged ?? dtlsOf(offer))
  const producerIds: string[] = []
  for (const kind of kinds) {
    const { producerId } = await by.produce({
      ...{ transportId: transport.id, kind, rtpParameters: parameters[kind] },
      source: kind === 'audio' ? 'microphone' : 'camera',
    })
    producerIds.push(producerId)
  }
  const sections = kinds.map((kind) => ({ kind, mid: kind, payloadType: PAYLOAD[kind], direction: 'recvonly' }))
  connection.setRemoteDescription(remoteSdp(transport, 'passive', sections), 'answer')
  // With a forged fingerprint nothing ever opens.
  if (!forged) await eventually(() => tracks.every(({ track }) => track.isOpen()))
  let number = 0
  const timer = setInterval(() => {
    number += 1
    for (const { kind, track } of tracks) {
      // The other end may have closed it.
      if (track.isOpen()) track.sendMessageBinary(packet(kind, ssrcOf(kind), number))
    }
  }, 20)
  return {
    producerIds,
    transport,
    close() {
      clearInterval(timer)
      connection.close()
    },
  }
}

function packet(kind: Kind, ssrc: number, number: number): Buffer {
  // Audio carries its level (RFC 6464): spoken, -20 dBov.
  const extension = kind === 'audio' ? Buffer.from([0xbe, 0xde, 0, 1, 0x10, 0x80 | 20, 0, 0]) : Buffer.alloc(0)
  const head = Buffer.alloc(12)
  head[0] = kind === 'audio' ? 0x90 : 0x80
  head[1] = PAYLOAD[kind] | (kind === 'video' ? 0x80 : 0)
  head.writeUInt16BE(number & 0xffff, 2)
  head.writeUInt32BE((number * (kind === 'audio' ? 960 : 1800)) >>> 0, 4)
  head.writeUInt32BE(ssrc, 8)
  const body =
    kind === 'audio' ? Buffer.alloc(80, number) : Buffer.from([...VP8_KEY_FRAME, ...Buffer.alloc(300, number)])
  return Buffer.concat([head, extension, body])
}

/** Really receives from the call; counts the packets of each producer. */
export async function receive(by: Signalling, producerIds: string[], options: MediaOptions = {}) {
  const transport = await by.createTransport('recv')
  const connection = peer('receiver', options)
  const packets = new Map<string, number>()
  const tracks: Track[] = []
  const first = Promise.withResolvers<void>()
  const isConnected = connected(connection)
  const consumers = await Promise.all(producerIds.map((producerId) => by.consume(transport.id, producerId)))
  const producerOf = new Map(consumers.map((one) => [one.rtpParameters.encodings![0]!.ssrc!, one.producerId]))
  connection.onTrack((track) => {
    tracks.push(track)
    track.onMessage((message) => {
      // Control packets come the same way.
      if (message[1]! >= 192 && message[1]! <= 223) return
      const producerId = producerOf.get(message.readUInt32BE(8)) ?? 'unknown'
      packets.set(producerId, (packets.get(producerId) ?? 0) + 1)
      first.resolve()
    })
  })
  const sections = consumers.map(({ kind, rtpParameters }, index) => ({
    ...{ kind, mid: String(index), payloadType: rtpParameters.codecs[0]!.payloadType, direction: 'sendonly' },
    ssrc: rtpParameters.encodings![0]!.ssrc!,
  }))
  connection.setRemoteDescription(remoteSdp(transport, 'actpass', sections), 'offer')
  const answer = await describe(connection, 'answer')
  await by.connectTransport(transport.id, dtlsOf(answer))
  await Promise.all([isConnected, ...consumers.map(({ id }) => by.resumeConsumer(id))])
  return {
    consumers,
    transport,
    count: (producerId: string) => packets.get(producerId) ?? 0,
    /** Of all producers. */
    total: () => packets.values().reduce((sum, count) => sum + count, 0),
    first: first.promise,
    /** Resolves when so many more packets of a producer have come. */
    async gets(producerId: string, more = 10) {
      const goal = (packets.get(producerId) ?? 0) + more
      await eventually(() => (packets.get(producerId) ?? 0) >= goal)
    },
    close() {
      for (const track of tracks) track.close()
      connection.close()
    },
  }
}
