import type { GatewayClient } from '../gateway/client.ts'
import type { ReplyData, Spoken } from '../gateway/frames.ts'
import type { VoiceOp } from './frames.ts'

/** How a call asks the server for something: on the connection that there is. */
export type Line = <K extends VoiceOp>(
  op: K,
  words: Spoken<K>,
  taken?: (answer: ReplyData[K]) => void,
) => Promise<ReplyData[K]>

export const lineOf =
  (gateway: GatewayClient): Line =>
  (op, words, taken) =>
    gateway.askOnce(op, words, taken)
