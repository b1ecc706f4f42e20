import { isIP } from 'node:net'
import type { ConfigRule } from '@conntext/kernel'
import { Type } from '@sinclair/typebox'
import { defaultListen, type VoiceNetwork } from './media/addresses.ts'

const MOST_WORKERS = 256

/** What the realtime service is told by the environment, alone or with the others in one process. */
export const realtimeSettings = {
  CONNTEXT_VOICE_WORKERS: Type.Optional(Type.Integer({ minimum: 0, maximum: MOST_WORKERS })),
  CONNTEXT_VOICE_PORT: Type.Integer({ minimum: 0, maximum: 65_535 - MOST_WORKERS, default: 40_000 }),
  CONNTEXT_VOICE_LISTEN_ADDRESSES: Type.Optional(Type.String()),
  CONNTEXT_VOICE_ANNOUNCED_ADDRESSES: Type.Optional(
    Type.String({
      pattern: '^[A-Za-z0-9.:_-]+(\\s*,\\s*[A-Za-z0-9.:_-]+){0,7}$',
      expects: 'up to 8 addresses or names by which clients reach this machine, separated by commas',
    }),
  ),
  CONNTEXT_VOICE_MAX_PARTICIPANTS: Type.Integer({ minimum: 1, maximum: 1_000, default: 100 }),
}

type Given = {
  CONNTEXT_VOICE_WORKERS?: number
  CONNTEXT_VOICE_PORT: number
  CONNTEXT_VOICE_LISTEN_ADDRESSES?: string
  CONNTEXT_VOICE_ANNOUNCED_ADDRESSES?: string
  CONNTEXT_VOICE_MAX_PARTICIPANTS: number
}

export type RealtimeConfig = { workers: number | undefined; network: VoiceNetwork; maxParticipants: number }

const partsOf = (text: string | undefined): string[] =>
  (text ?? '')
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')

/** What the schema can't say: sockets are opened on addresses, not on names. */
export const realtimeRules: ConfigRule[] = [
  (env) =>
    partsOf(env.CONNTEXT_VOICE_LISTEN_ADDRESSES).every((address) => isIP(address) !== 0)
      ? []
      : [{ setting: 'CONNTEXT_VOICE_LISTEN_ADDRESSES', message: 'expected IP addresses, separated by commas' }],
]

export function toRealtimeConfig(given: Given): RealtimeConfig {
  const listen = partsOf(given.CONNTEXT_VOICE_LISTEN_ADDRESSES)
  return {
    workers: given.CONNTEXT_VOICE_WORKERS,
    network: {
      port: given.CONNTEXT_VOICE_PORT,
      listen: listen.length > 0 ? listen : defaultListen(),
      announced: partsOf(given.CONNTEXT_VOICE_ANNOUNCED_ADDRESSES),
    },
    maxParticipants: given.CONNTEXT_VOICE_MAX_PARTICIPANTS,
  }
}
