import {
  generateConsumerRemoteParameters,
  generateLocalDtlsParameters,
  generateNativeRtpCapabilities,
  generateRouterRtpCapabilities,
  generateTransportRemoteParameters,
} from 'mediasoup-client/fakeParameters'
import { FakeHandler } from 'mediasoup-client/handlers/FakeHandler'
import type { HandlerFactory } from 'mediasoup-client/types'
import { VoiceClient, type VoiceEvents, type VoiceOptions } from '../src/voice/index.ts'
import { type Frame, ready, startPeer } from './peer.ts'
import { client } from './support.ts'

type Socket = { send(text: string): unknown; close(code?: number): void }
type Producer = { id: string; userId: string; kind: 'audio' | 'video'; source: string; paused: boolean }
type Refusal = { status: number; code: string }

const ROUTER = generateRouterRtpCapabilities()

/** As much of the server's side of a call as its client sees: what it has is in `media`, what it was asked in `asked`. */
export function startVoiceServer() {
  const asked: Frame[] = []
  const media = {
    participantId: '',
    producers: [] as Producer[],
    kept: {
      transports: [] as { id: string; direction: string }[],
      producerIds: [] as string[],
      consumerIds: [] as string[],
    },
  }
  let socket: Socket | undefined
  let count = 0
  /** What is answered instead, by op: once for each entry. */
  const refusals = new Map<string, Refusal[]>()
  /** Ops that get no answer. */
  const silent = new Set<string>()
  const name = (what: string) => {
    count += 1
    return `${what}-${count}`
  }

  const answers: Record<string, (frame: Frame) => object> = {
    'voice.join': ({ resume, channelId }) => {
      const resumed = resume !== undefined && resume === media.participantId
      if (!resumed) {
        media.participantId = name('participant')
        media.kept = { transports: [], producerIds: [], consumerIds: [] }
      }
      const { participantId, producers, kept } = media
      return {
        ...{ channelId, participantId, resumed, producers, kept },
        ...{ callId: 'call', rtpCapabilities: ROUTER, states: [] },
      }
    },
    'voice.createTransport': ({ direction }) => {
      const id = name(`transport-${direction}`)
      media.kept.transports = [
        ...media.kept.transports.filter((one) => one.direction !== direction),
        { id, direction: direction as string },
      ]
      return { ...generateTransportRemoteParameters(), id }
    },
    'voice.produce': () => {
      const producerId = name('producer')
      media.kept.producerIds.push(producerId)
      return { producerId }
    },
    'voice.consume': ({ producerId }) => {
      const kind = media.producers.find(({ id }) => id === producerId)!.kind
      const mimeType = kind === 'audio' ? 'audio/opus' : 'video/VP8'
      const id = name('consumer')
      media.kept.consumerIds.push(id)
      const { rtpParameters } = generateConsumerRemoteParameters({ codecMimeType: mimeType })
      return { id, producerId, kind, rtpParameters, type: 'simple', paused: true }
    },
    'voice.closeProducer': ({ producerId }) => {
      media.kept.producerIds = media.kept.producerIds.filter((id) => id !== producerId)
      return {}
    },
    'voice.restartIce': () => ({ iceParameters: generateTransportRemoteParameters().iceParameters }),
  }

  const peer = startPeer((frame, its) => {
    socket = its
    if (frame.op === 'identify') return void its.send(ready({}))
    if (!frame.op.startsWith('voice.')) return
    asked.push(frame)
    if (silent.has(frame.op)) return
    const refusal = refusals.get(frame.op)?.shift()
    const { id } = frame
    if (refusal) {
      const error = { type: '', title: 'No', requestId: 'r', ...refusal }
      return void its.send(JSON.stringify({ op: 'reply', id, ok: false, error }))
    }
    its.send(JSON.stringify({ op: 'reply', id, ok: true, d: answers[frame.op]?.(frame) ?? {} }))
  })
  return {
    peer,
    asked,
    media,
    refusals,
    silent,
    ops: () => asked.map(({ op }) => op.slice('voice.'.length)),
    last: (op: string) => asked.findLast((frame) => frame.op === `voice.${op}`),
    tell: (t: string, d: object) =>
      socket!.send(JSON.stringify({ op: 'event', t, stream: 'user', at: '', d: { channelId: 'hall', ...d } })),
    /** Ends the connection as servers do that stop. */
    drop: () => socket!.close(1001),
    [Symbol.dispose]: () => peer[Symbol.dispose](),
  }
}

/** A client of it that loses no time, in a browser that is played. */
export async function voiceOf(baseUrl: string, options: Partial<VoiceOptions> = {}) {
  const handlers: FakeHandler[] = []
  const real = FakeHandler.createFactory({ generateNativeRtpCapabilities, generateLocalDtlsParameters })
  const handlerFactory: HandlerFactory = {
    ...real,
    factory: (given) => {
      const handler = real.factory(given) as FakeHandler
      handlers.push(handler)
      return handler
    },
  }
  const gateway = client(baseUrl)
  const voice = new VoiceClient({
    ...{ gateway, handlerFactory, joinMs: 2_000, iceRestartMs: 5 },
    reconnect: { firstMs: 1, longestMs: 20 },
    ...options,
  })
  const log: string[] = []
  const told: { [K in keyof VoiceEvents]?: (value: VoiceEvents[K]) => string } = {
    state: ({ state }) => state,
    interrupted: ({ media }) => String(media),
    recovered: ({ resumed }) => String(resumed),
    moved: ({ to }) => to,
    ended: ({ reason }) => reason,
    publicationEnded: ({ reason }) => reason,
    subscriptionEnded: () => '',
    producerAdded: ({ id }) => id,
    producerRemoved: ({ id }) => id,
    joined: ({ userId }) => userId,
    updated: ({ userId }) => userId,
    left: ({ userId }) => userId,
  }
  for (const [event, text] of Object.entries(told)) {
    voice.on(event as 'state', (value) => log.push(`${event} ${text(value as never)}`.trim()))
  }
  await gateway.connect()
  return { voice, gateway, handlers, log }
}
