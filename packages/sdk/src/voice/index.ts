export { VoiceClient } from './client.ts'
export type { PublishOptions, VideoCodec } from './encodings.ts'
export type { CallEnding, CallState, PublicationEnding, VoiceEvents } from './events.ts'
export type {
  Speaker,
  VoiceEnding,
  VoiceJoined,
  VoiceProducer,
  VoiceSource,
  VoiceState,
  VoiceStats,
} from './frames.ts'
export type { VoiceOptions } from './options.ts'
export type { Publication } from './publication.ts'
export type { Layers, SubscribeOptions, Subscription } from './subscription.ts'
