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
  /** Several sizes at once, of which each viewer has one: as told, or up to three by how large the picture is; true for cameras unless given. */
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

type Size = { scaleResolutionDownBy: number; maxBitrate: number }
/** From the smallest to the whole picture, by how large that is: browsers don't send the largest of more than these. */
const SIZES: { pixels: number; sizes: Size[] }[] = [
  {
    pixels: 960 * 540,
    sizes: [
      { scaleResolutionDownBy: 4, maxBitrate: 150_000 },
      { scaleResolutionDownBy: 2, maxBitrate: 500_000 },
      { scaleResolutionDownBy: 1, maxBitrate: 1_700_000 },
    ],
  },
  {
    pixels: 480 * 270,
    sizes: [
      { scaleResolutionDownBy: 2, maxBitrate: 200_000 },
      { scaleResolutionDownBy: 1, maxBitrate: 900_000 },
    ],
  },
  { pixels: 0, sizes: [{ scaleResolutionDownBy: 1, maxBitrate: 300_000 }] },
]
const VIDEO_BITRATE = { microphone: 0, screenAudio: 0, camera: 1_700_000, screen: 4_000_000 }

type Sending = Pick<ProducerOptions, 'encodings' | 'codecOptions' | 'codec'>

/** @throws Error for a codec that this browser, or the server, doesn't have */
export function sendingOf(device: Device, track: MediaStreamTrack, options: PublishOptions): Sending {
  return track.kind === 'audio' ? audio(options) : video(device, track, options)
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

function video(device: Device, track: MediaStreamTrack, options: PublishOptions): Sending {
  const { source, simulcast = source === 'camera', scalabilityMode, maxBitrate = VIDEO_BITRATE[source] } = options
  const chosen = options.codec ? { codec: codecOf(device, options.codec) } : {}
  if (scalabilityMode !== undefined) return { ...chosen, encodings: [{ scalabilityMode, maxBitrate }] }
  const sizes = Array.isArray(simulcast) ? simulcast : simulcast ? sizesOf(track) : [{ maxBitrate }]
  // Copies: whoever sends writes into them.
  return { ...chosen, encodings: sizes.map((size) => ({ ...size })) as NonNullable<Sending['encodings']> }
}

function sizesOf(track: MediaStreamTrack): RTCRtpEncodingParameters[] {
  const { width = 1_280, height = 720 } = track.getSettings()
  const { sizes } = SIZES.find(({ pixels }) => width * height >= pixels)!
  return sizes.length === 1 ? sizes : sizes.map((size, index) => ({ rid: `r${index}`, ...size }))
}

function codecOf(device: Device, name: VideoCodec): RtpCodecCapability {
  const mimeType = `video/${name}`.toLowerCase()
  const codec = device.sendRtpCapabilities.codecs?.find((one) => one.mimeType.toLowerCase() === mimeType)
  if (!codec) throw new Error(`${name} can't be sent from here`)
  return codec
}
