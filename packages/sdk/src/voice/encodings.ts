import type { Device } from 'mediasoup-client'
import type { ProducerCodecOptions, ProducerOptions, RtpCodecCapability } from 'mediasoup-client/types'
import type { VoiceSource } from './frames.ts'

export type VideoCodec = 'VP8' | 'VP9' | 'H264' | 'AV1'

/** How something is sent. What is absent is chosen by the source. */
export type PublishOptions = {
  source: VoiceSource
  /** Whether it begins muted. */
  muted?: boolean
  /** In what video is sent; by default in the first that both sides know. A codec that either lacks is refused. */
  codec?: VideoCodec
  /** Several sizes at once, of which each viewer has one: as they are told, or three; true for cameras unless given. */
  simulcast?: boolean | RTCRtpEncodingParameters[]
  /** Layers within one stream, such as `L3T3_KEY`, instead of simulcast: for VP9 and AV1. */
  scalabilityMode?: string
  /** Of video without simulcast, or of audio; bits per second. */
  maxBitrate?: number
  /** Whether nothing is sent while there is silence; true for microphones unless given. */
  dtx?: boolean
  /** Whether lost sound can be made up for; true unless given. */
  fec?: boolean
  /** True for the sound of screens unless given. */
  stereo?: boolean
}

/** By width of a camera at 720p; each size has a third of the next one's pixels, and less. */
const SIMULCAST: RTCRtpEncodingParameters[] = [
  { rid: 'r0', scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { rid: 'r1', scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: 'r2', scaleResolutionDownBy: 1, maxBitrate: 1_700_000 },
]
const VIDEO_BITRATE = { microphone: 0, screenAudio: 0, camera: 1_700_000, screen: 4_000_000 }

type Sending = Pick<ProducerOptions, 'encodings' | 'codecOptions' | 'codec'>

/** @throws Error for a codec that this browser, or the server, doesn't have */
export function sendingOf(device: Device, kind: string, options: PublishOptions): Sending {
  return kind === 'audio' ? audio(options) : video(device, options)
}

function audio({ source, dtx, fec, stereo, maxBitrate }: PublishOptions): Sending {
  const codecOptions: ProducerCodecOptions = {
    opusDtx: dtx ?? source === 'microphone',
    opusFec: fec ?? true,
    opusStereo: stereo ?? source === 'screenAudio',
    ...(maxBitrate === undefined ? {} : { opusMaxAverageBitrate: maxBitrate }),
  }
  return { codecOptions }
}

function video(device: Device, options: PublishOptions): Sending {
  const { source, simulcast = source === 'camera', scalabilityMode, maxBitrate = VIDEO_BITRATE[source] } = options
  const chosen = options.codec ? { codec: codecOf(device, options.codec) } : {}
  if (scalabilityMode !== undefined) return { ...chosen, encodings: [{ scalabilityMode, maxBitrate }] }
  const sizes = Array.isArray(simulcast) ? simulcast : simulcast ? SIMULCAST : [{ maxBitrate }]
  // Copies: whoever sends writes into them.
  return { ...chosen, encodings: sizes.map((size) => ({ ...size })) as NonNullable<Sending['encodings']> }
}

function codecOf(device: Device, name: VideoCodec): RtpCodecCapability {
  const mimeType = `video/${name}`.toLowerCase()
  const codec = device.sendRtpCapabilities.codecs?.find((one) => one.mimeType.toLowerCase() === mimeType)
  if (!codec) throw new Error(`${name} can't be sent from here`)
  return codec
}
