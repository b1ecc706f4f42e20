import type { ClientFrames, Events, ReplyData } from '../gateway/frames.ts'

/** What may be asked of a call. */
export type VoiceOp = Extract<keyof ClientFrames & keyof ReplyData, `voice.${string}`>

export type VoiceState = Events['voice.joined']
export type VoiceJoined = ReplyData['voice.join']
export type VoiceProducer = Events['voice.producerAdded']['producer']
export type VoiceSource = VoiceProducer['source']
export type VoiceStats = ReplyData['voice.stats']
export type VoiceEnding = Events['voice.ended']['reason']
export type Speaker = Events['voice.activeSpeakers']['speakers'][number]
