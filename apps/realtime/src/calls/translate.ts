import type {
  IceParameters,
  RtpCapabilities,
  RtpParameters,
  VoiceConsumer,
  VoiceStats,
  VoiceTransport,
} from '@conntext/contracts'
import type {
  Consumer,
  IceCandidate,
  Router,
  WebRtcTransport,
  IceParameters as WorkerIceParameters,
  RtpParameters as WorkerRtpParameters,
} from 'mediasoup/types'
import { jitterMs } from '../figures/sampler.ts'
import { announcedCandidates } from '../media/addresses.ts'
import type { Media } from './media.ts'

/** A copy for mediasoup, which fills in what is absent; without what is the sender's own affair. */
export function forWorker({ encodings, ...rest }: RtpParameters): WorkerRtpParameters {
  const known = encodings?.map(({ ssrc, rid, codecPayloadType, rtx, dtx, scalabilityMode, maxBitrate }) => ({
    ...{ ssrc, rid, codecPayloadType, rtx, dtx, scalabilityMode, maxBitrate },
  }))
  return JSON.parse(JSON.stringify({ ...rest, ...(known ? { encodings: known } : {}) })) as WorkerRtpParameters
}

// Without what is undefined: the contract knows absent fields only.
const plain = <T>(value: unknown): T => JSON.parse(JSON.stringify(value)) as T

/** `audioBitrate`: what senders are to keep below, by the words of RFC 7587. */
export const routerCapabilities = (router: Router, audioBitrate: number | null): RtpCapabilities => {
  const { codecs = [], headerExtensions = [] } = router.rtpCapabilities
  const told = codecs.map((codec) =>
    codec.kind === 'audio' && audioBitrate !== null
      ? { ...codec, parameters: { ...codec.parameters, maxaveragebitrate: audioBitrate } }
      : codec,
  )
  return plain({ codecs: told, headerExtensions })
}

export const iceOf = ({ usernameFragment, password, iceLite }: WorkerIceParameters): IceParameters => ({
  ...{ usernameFragment, password },
  iceLite: iceLite ?? true,
})

export function toTransport(transport: WebRtcTransport, announced: string[]): VoiceTransport {
  const { id, iceParameters, iceCandidates, dtlsParameters } = transport
  return {
    id,
    iceParameters: iceOf(iceParameters),
    iceCandidates: announcedCandidates(iceCandidates, announced).map(toCandidate),
    dtlsParameters: plain({ role: dtlsParameters.role, fingerprints: dtlsParameters.fingerprints }),
  }
}

const toCandidate = ({ foundation, priority, address, ip, protocol, port, type, tcpType }: IceCandidate) => ({
  ...{ foundation, priority, address, ip, protocol, port, type },
  ...(tcpType === undefined ? {} : { tcpType }),
})

export const toConsumer = ({ id, producerId, kind, rtpParameters, type }: Consumer): VoiceConsumer => ({
  ...{ id, producerId, kind },
  rtpParameters: plain<RtpParameters>(rtpParameters),
  type: type === 'pipe' ? 'simple' : type,
  paused: true,
})

/** Asks the worker. What closes meanwhile is left out. */
export async function statsOf(media: Media): Promise<VoiceStats> {
  const transports = [...media.carriers.values()].map(async ({ transport, direction }) => {
    const [stat] = await transport.getStats()
    const { id, iceState, dtlsState, iceSelectedTuple } = transport
    const protocol = iceSelectedTuple?.protocol
    return plain<VoiceStats['transports'][number]>({
      ...{ id, direction, iceState, dtlsState, protocol },
      receiveBitrate: stat?.recvBitrate,
      sendBitrate: stat?.sendBitrate,
    })
  })
  const sent = [...media.outgoing.values()].map(async ({ producer }) => {
    // Of simulcast each layer by itself: told is all of it.
    const all = await producer.getStats()
    return figures(producer, 'producer', all)
  })
  const received = [...media.incoming.values()].map(async ({ consumer }) => {
    const all = await consumer.getStats()
    return figures(
      consumer,
      'consumer',
      all.filter(({ type }) => type === 'outbound-rtp'),
    )
  })
  return { transports: await present(transports), streams: await present([...sent, ...received]) }
}

type Figures = { bitrate: number; packetCount: number; packetsLost: number; score: number }
type Measured = Figures & { jitter?: number; roundTripTime?: number }

function figures(
  { id, kind }: { id: string; kind: 'audio' | 'video' },
  of: 'producer' | 'consumer',
  all: Measured[],
): VoiceStats['streams'][number] {
  const sum = (figure: keyof Figures) => all.reduce((total, one) => total + Math.max(0, one[figure]), 0)
  const most = (figure: 'jitter' | 'roundTripTime') => Math.max(0, ...all.map((one) => one[figure] ?? 0))
  return {
    ...{ id, of, kind },
    bitrate: sum('bitrate'),
    packets: sum('packetCount'),
    lost: sum('packetsLost'),
    jitter: jitterMs(kind, most('jitter')),
    roundTripMs: most('roundTripTime'),
    score: Math.max(0, ...all.map(({ score }) => score)),
  }
}

const present = async <T>(asked: Promise<T>[]): Promise<T[]> =>
  (await Promise.allSettled(asked)).flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
