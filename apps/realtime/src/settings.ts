import { isIP } from 'node:net'
import { availableParallelism } from 'node:os'
import { type ConfigRule, neededWith } from '@conntext/kernel'
import { Type } from '@sinclair/typebox'
import type { IceConfig } from './ice/servers.ts'
import { defaultListen, type VoiceNetwork } from './media/addresses.ts'

const MOST_WORKERS = 256
const DEFAULT_PORT = 40_000

const HOST = '(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?'
const STUN_URL = `stuns?:${HOST}`
const TURN_URL = `turns?:${HOST}(\\?transport=(udp|tcp))?`
const listPattern = (one: string) => `^${one}(\\s*,\\s*${one}){0,7}$`

/** What the realtime service is told by the environment, alone or with the others in one process. */
export const realtimeSettings = {
  CONNTEXT_VOICE_WORKERS: Type.Optional(Type.Integer({ minimum: 0, maximum: MOST_WORKERS })),
  CONNTEXT_VOICE_PORT: Type.Integer({ minimum: 0, maximum: 65_535 - MOST_WORKERS, default: DEFAULT_PORT }),
  CONNTEXT_VOICE_LISTEN_ADDRESSES: Type.Optional(Type.String()),
  CONNTEXT_VOICE_ANNOUNCED_ADDRESSES: Type.Optional(
    Type.String({
      pattern: '^[A-Za-z0-9.:_-]+(\\s*,\\s*[A-Za-z0-9.:_-]+){0,7}$',
      expects: 'up to 8 addresses or names by which clients reach this machine, separated by commas',
    }),
  ),
  CONNTEXT_VOICE_PUBLISHED_PORTS: Type.Optional(
    Type.String({
      pattern: '^[0-9]{1,5}(-[0-9]{1,5})?$',
      expects: 'a port, or the first and the last such as 40000-40003',
    }),
  ),
  CONNTEXT_VOICE_MAX_PARTICIPANTS: Type.Integer({ minimum: 1, maximum: 1_000, default: 100 }),
  CONNTEXT_STUN_URLS: Type.Optional(
    Type.String({ pattern: listPattern(STUN_URL), expects: 'up to 8 URLs such as stun:turn.example.org:3478' }),
  ),
  CONNTEXT_TURN_URLS: Type.Optional(
    Type.String({
      pattern: listPattern(TURN_URL),
      expects: 'up to 8 URLs such as turn:turn.example.org:3478?transport=udp, separated by commas',
    }),
  ),
  CONNTEXT_TURN_SECRET: Type.Optional(Type.String({ minLength: 16, expects: 'at least 16 characters' })),
  CONNTEXT_TURN_TTL_SECONDS: Type.Integer({ minimum: 60, maximum: 604_800, default: 3_600 }),
  CONNTEXT_ICE_POLICY: Type.Union([Type.Literal('all'), Type.Literal('relay')], {
    default: 'all',
    expects: 'all or relay',
  }),
}

type Given = {
  CONNTEXT_VOICE_WORKERS?: number
  CONNTEXT_VOICE_PORT: number
  CONNTEXT_VOICE_LISTEN_ADDRESSES?: string
  CONNTEXT_VOICE_ANNOUNCED_ADDRESSES?: string
  CONNTEXT_VOICE_PUBLISHED_PORTS?: string
  CONNTEXT_VOICE_MAX_PARTICIPANTS: number
  CONNTEXT_STUN_URLS?: string
  CONNTEXT_TURN_URLS?: string
  CONNTEXT_TURN_SECRET?: string
  CONNTEXT_TURN_TTL_SECONDS: number
  CONNTEXT_ICE_POLICY: 'all' | 'relay'
}

export type RealtimeConfig = {
  workers: number | undefined
  network: VoiceNetwork
  ice: IceConfig
  maxParticipants: number
}

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
  (env) => {
    const published = rangeOf(env.CONNTEXT_VOICE_PUBLISHED_PORTS)
    const port = Number(env.CONNTEXT_VOICE_PORT || DEFAULT_PORT)
    const isIn = !published || port === 0 || (published.first <= port && port <= published.last)
    return isIn && !(published && published.last > 65_535)
      ? []
      : [{ setting: 'CONNTEXT_VOICE_PUBLISHED_PORTS', message: 'expected ports, with CONNTEXT_VOICE_PORT among them' }]
  },
  neededWith('CONNTEXT_TURN_URLS', ['CONNTEXT_TURN_SECRET']),
  (env) =>
    env.CONNTEXT_ICE_POLICY === 'relay' && !env.CONNTEXT_TURN_URLS
      ? [{ setting: 'CONNTEXT_TURN_URLS', message: 'is required where CONNTEXT_ICE_POLICY is relay' }]
      : [],
]

export function toRealtimeConfig(given: Given): RealtimeConfig {
  const listen = partsOf(given.CONNTEXT_VOICE_LISTEN_ADDRESSES)
  const published = rangeOf(given.CONNTEXT_VOICE_PUBLISHED_PORTS)
  return {
    workers: given.CONNTEXT_VOICE_WORKERS ?? workersWithin(published, given.CONNTEXT_VOICE_PORT),
    network: {
      port: given.CONNTEXT_VOICE_PORT,
      listen: listen.length > 0 ? listen : defaultListen(),
      announced: partsOf(given.CONNTEXT_VOICE_ANNOUNCED_ADDRESSES),
      ...(published ? { published } : {}),
    },
    ice: {
      stunUrls: partsOf(given.CONNTEXT_STUN_URLS),
      turn: turnOf(given),
      policy: given.CONNTEXT_ICE_POLICY,
    },
    maxParticipants: given.CONNTEXT_VOICE_MAX_PARTICIPANTS,
  }
}

function rangeOf(text: string | undefined): VoiceNetwork['published'] {
  if (!text) return undefined
  const [first, last = first] = text.split('-').map(Number)
  return { first: first!, last: last! }
}

/** One a core, as long as there are ports for them that come in from outside. */
function workersWithin(published: VoiceNetwork['published'], port: number): number | undefined {
  return published && port !== 0 ? Math.min(availableParallelism(), published.last - port + 1) : undefined
}

/** A secret without relays is none that anybody needs: in containers it is there from the beginning. */
function turnOf(given: Given): IceConfig['turn'] {
  const urls = partsOf(given.CONNTEXT_TURN_URLS)
  const secret = given.CONNTEXT_TURN_SECRET
  if (urls.length === 0 || secret === undefined) return undefined
  return { urls, secret, ttlSeconds: given.CONNTEXT_TURN_TTL_SECONDS }
}
