import { ConnectionLost } from '../gateway/connection-lost.ts'
import { ProblemError } from '../problem.ts'

/**
 * What a failure means: `lost`, the connection is gone and comes back; `rejoin`, what the server knew of one is gone;
 * `later`, it may go well another time; `final`, it never will.
 */
export type Fault = 'lost' | 'rejoin' | 'later' | 'final'

/** The transport was closed meanwhile, as the server had let it go. */
export class TransportGone extends Error {
  override name = 'TransportGone'
}

const GONE = new Set(['voice.notInCall', 'voice.noMedia', 'voice.noSuchTransport', 'voice.noSuchConsumer'])
const TOO_MANY = 429
const SERVER_FAULT = 500

export function faultOf(error: unknown): Fault {
  if (error instanceof ConnectionLost) return 'lost'
  if (error instanceof TransportGone) return 'later'
  if (!(error instanceof ProblemError)) return 'final'
  if (GONE.has(error.code)) return 'rejoin'
  return error.status === TOO_MANY || error.status >= SERVER_FAULT ? 'later' : 'final'
}

export const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)))
