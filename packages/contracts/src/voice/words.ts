import type { VoiceState } from '../voice.ts'

/** How a node is doing: calls go to the one with the least `load`, unless it is `full` or drains. */
export type VoiceNodeLoad = {
  /** How busy its busiest worker is, from 0; 1 is as much as it should have. */
  load: number
  calls: number
  participants: number
  /** Whether it takes new calls: it has a worker, and isn't about to stop. */
  open: boolean
}

/** One participation as its node tells it. `p` is the participation's id, `u` the account. */
export type SaidVoiceState = { p: string; state: VoiceState }

/**
 * What a node says on `voiceSubjects.nodes`. `n` is its name, new at each start; `i` counts what it has changed: by it
 * the others notice that they have missed something.
 */
export type VoiceWords = { n: string; i: number } & (
  | { k: 'changed'; said: (SaidVoiceState | { p: string })[] }
  /** It lives; where others of its kind reach it, if they can. */
  | { k: 'alive'; url: string | null; load: VoiceNodeLoad }
  /** All that it has, in parts. */
  | { k: 'all'; part: number; parts: number; said: SaidVoiceState[] }
  /** It has stopped, and all that it said is over. */
  | { k: 'gone' }
)

/** Asked on `voiceSubjects.ask`: every node, or the one named, is to say all. */
export type VoiceAsk = { of?: string }

/**
 * What a gateway says every few seconds on `voiceSubjects.gateways` to each node that has participants of it: that they
 * are still connected (`c`), in which channel (`ch`), and the number of the last notice that it had for each.
 */
export type VoiceLease = { g: string; n: string; held: { p: string; c: string; ch: string; i: number }[] }

/** The bus subjects of calls. */
export const voiceSubjects = {
  /** What nodes say: `VoiceWords`. */
  nodes: 'voice.nodes',
  /** `VoiceAsk`. */
  ask: 'voice.ask',
  /** What gateways say: `VoiceLease`. */
  gateways: 'voice.gateways',
  /** Notices for participants whose connections a gateway has: `encodeNotice`. */
  notices: (gatewayId: string) => `voice.gateway.${gatewayId}`,
} as const

/** For which connections a notice is, and the number that it has for each: one more than the one before. */
export type NoticeTo = { c: string; p: string; i: number }

/** Whom it is for, then the frame, so that a gateway passes it on without parsing it. */
export const encodeNotice = (to: NoticeTo[], frame: string): string => `${JSON.stringify(to)}\n${frame}`
export function decodeNotice(payload: string): { to: NoticeTo[]; frame: string } {
  const end = payload.indexOf('\n')
  return { to: JSON.parse(payload.slice(0, end)) as NoticeTo[], frame: payload.slice(end + 1) }
}

/** How often nodes say that they live, and how long what one said holds after it was last heard of. */
export const VOICE_ALIVE_MS = 1_000
export const VOICE_SILENCE_MS = 5_000
/** How often gateways say which participants they have, and after how long without that these count as unconnected. */
export const VOICE_LEASE_EVERY_MS = 5_000
export const VOICE_LEASE_MS = 15_000
