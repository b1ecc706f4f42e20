import { type Static, Type } from '@sinclair/typebox'
import { Enumeration, Fields, Id, Shape } from '../api/common.ts'

// What mediasoup and mediasoup-client tell each other, in bounds: nothing is nested deeper than it stands here, and a
// frame of the largest of everything stays far below what a client may send.

const uint = (maximum: number) => Type.Integer({ minimum: 0, maximum })
const text = (maxLength: number) => Type.String({ maxLength })
const UINT32 = 0xffff_ffff

/** A codec's own parameters: flat, and small. */
const CodecParameters = Type.Record(
  Type.String({ pattern: '^[A-Za-z0-9_.-]{1,64}$' }),
  Type.Union([text(256), Type.Boolean(), Type.Number({ minimum: -2_147_483_648, maximum: 2_147_483_647 })]),
  { maxProperties: 32, additionalProperties: false },
)

const RtcpFeedback = Type.Array(Fields({ type: text(64), parameter: Type.Optional(text(64)) }), { maxItems: 16 })
const VoiceKind = Enumeration(['audio', 'video'], { title: 'VoiceKind' })
export type VoiceKind = Static<typeof VoiceKind>

const codec = {
  mimeType: Type.String({ pattern: '^(audio|video)/[A-Za-z0-9.+-]{1,32}$' }),
  clockRate: Type.Integer({ minimum: 1, maximum: 1_000_000 }),
  channels: Type.Optional(Type.Integer({ minimum: 1, maximum: 8 })),
  parameters: Type.Optional(CodecParameters),
  rtcpFeedback: Type.Optional(RtcpFeedback),
}
const PayloadType = uint(127)

/** What somebody can receive, as mediasoup-client's `Device` has it. */
export const RtpCapabilities = Shape('RtpCapabilities', {
  codecs: Type.Array(Fields({ kind: VoiceKind, preferredPayloadType: PayloadType, ...codec }), { maxItems: 48 }),
  headerExtensions: Type.Optional(
    Type.Array(
      Fields({
        kind: VoiceKind,
        uri: text(256),
        preferredId: uint(255),
        preferredEncrypt: Type.Optional(Type.Boolean()),
        direction: Type.Optional(Enumeration(['sendrecv', 'sendonly', 'recvonly', 'inactive'])),
      }),
      { maxItems: 48 },
    ),
  ),
})
export type RtpCapabilities = Static<typeof RtpCapabilities>

const Encoding = Fields({
  ssrc: Type.Optional(uint(UINT32)),
  rid: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9_-]{1,32}$' })),
  codecPayloadType: Type.Optional(PayloadType),
  rtx: Type.Optional(Fields({ ssrc: uint(UINT32) })),
  dtx: Type.Optional(Type.Boolean()),
  scalabilityMode: Type.Optional(Type.String({ pattern: '^[LS][1-9]T[1-9](h|_KEY|_KEY_SHIFT)?$' })),
  maxBitrate: Type.Optional(uint(2_147_483_647)),
  // For the sender's own encoder; here they say nothing.
  active: Type.Optional(Type.Boolean()),
  maxFramerate: Type.Optional(Type.Number({ minimum: 0, maximum: 1_000 })),
  scaleResolutionDownBy: Type.Optional(Type.Number({ minimum: 1, maximum: 1_000 })),
  adaptivePtime: Type.Optional(Type.Boolean()),
  priority: Type.Optional(text(16)),
  networkPriority: Type.Optional(text(16)),
})

/** What is sent, or what is to be received. */
export const RtpParameters = Shape('RtpParameters', {
  mid: Type.Optional(text(32)),
  codecs: Type.Array(Fields({ payloadType: PayloadType, ...codec }), { minItems: 1, maxItems: 16 }),
  headerExtensions: Type.Optional(
    Type.Array(
      Fields({
        uri: text(256),
        id: uint(255),
        encrypt: Type.Optional(Type.Boolean()),
        parameters: Type.Optional(CodecParameters),
      }),
      { maxItems: 32 },
    ),
  ),
  encodings: Type.Optional(Type.Array(Encoding, { maxItems: 4 })),
  rtcp: Type.Optional(
    Fields({
      cname: Type.Optional(text(256)),
      reducedSize: Type.Optional(Type.Boolean()),
      mux: Type.Optional(Type.Boolean()),
    }),
  ),
  msid: Type.Optional(text(256)),
})
export type RtpParameters = Static<typeof RtpParameters>

export const DtlsParameters = Shape('DtlsParameters', {
  role: Type.Optional(Enumeration(['auto', 'client', 'server'])),
  fingerprints: Type.Array(
    Fields({
      algorithm: Enumeration(['sha-1', 'sha-224', 'sha-256', 'sha-384', 'sha-512']),
      value: Type.String({ pattern: '^([0-9A-Fa-f]{2}:){19,63}[0-9A-Fa-f]{2}$' }),
    }),
    { minItems: 1, maxItems: 8 },
  ),
})
export type DtlsParameters = Static<typeof DtlsParameters>

export const IceParameters = Shape('IceParameters', {
  usernameFragment: Type.String(),
  password: Type.String(),
  iceLite: Type.Boolean(),
})
export type IceParameters = Static<typeof IceParameters>

const IceCandidate = Fields({
  foundation: Type.String(),
  priority: Type.Integer(),
  address: Type.String(),
  ip: Type.String(),
  protocol: Enumeration(['udp', 'tcp']),
  port: uint(65_535),
  type: Type.Literal('host'),
  tcpType: Type.Optional(Type.Literal('passive')),
})

/** What mediasoup-client makes its end of a transport from. */
export const VoiceTransport = Shape('VoiceTransport', {
  id: Id,
  iceParameters: IceParameters,
  iceCandidates: Type.Array(IceCandidate),
  dtlsParameters: DtlsParameters,
})
export type VoiceTransport = Static<typeof VoiceTransport>

export { VoiceKind }
