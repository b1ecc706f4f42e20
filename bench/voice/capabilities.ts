import type { RtpCapabilities } from '@conntext/contracts'
import { RTCP_FEEDBACK } from '@conntext/testing/media'

/** What clients without a browser can receive. */
export const CAPABILITIES: RtpCapabilities = {
  codecs: [
    { kind: 'audio', mimeType: 'audio/opus', preferredPayloadType: 100, clockRate: 48_000, channels: 2 },
    { kind: 'video', mimeType: 'video/VP8', preferredPayloadType: 101, clockRate: 90_000, rtcpFeedback: RTCP_FEEDBACK },
  ],
  headerExtensions: [],
}
