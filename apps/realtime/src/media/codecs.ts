import type { RouterRtpCodecCapability } from 'mediasoup/types'

/** What calls are made in. Every worker has all of them; which are used is for the senders to choose. */
export const mediaCodecs: RouterRtpCodecCapability[] = [
  { kind: 'audio', mimeType: 'audio/opus', clockRate: 48_000, channels: 2, parameters: { useinbandfec: 1, usedtx: 1 } },
  { kind: 'video', mimeType: 'video/VP8', clockRate: 90_000 },
  { kind: 'video', mimeType: 'video/VP9', clockRate: 90_000, parameters: { 'profile-id': 0 } },
  // What everybody can decode goes first; main and high are what some encoders in hardware do better.
  ...['42e01f', '4d0032', '640032'].map((profile) => ({
    kind: 'video' as const,
    mimeType: 'video/H264',
    clockRate: 90_000,
    parameters: { 'packetization-mode': 1, 'profile-level-id': profile, 'level-asymmetry-allowed': 1 },
  })),
  { kind: 'video', mimeType: 'video/AV1', clockRate: 90_000, parameters: {} },
]
