import type { Speaker, VoiceEnding, VoiceProducer, VoiceState } from './frames.ts'
import type { Publication } from './publication.ts'
import type { Subscription } from './subscription.ts'

/** `interrupted`: one is about to come back; what media there is may go on meanwhile. */
export type CallState = 'idle' | 'joining' | 'joined' | 'interrupted'

/**
 * Why one is in the call no more: the server's reasons, `left` and `moved` on one's own, `refused` where coming back was,
 * and `disconnected` when the gateway client has ended.
 */
export type CallEnding = VoiceEnding | 'left' | 'moved' | 'refused' | 'unsupported' | 'gatewayEnded'

/** `removed`: by the server, as when a permission is gone. */
export type PublicationEnding = 'unpublished' | 'trackEnded' | 'removed' | 'refused' | 'callEnded'

/** What to listen to, in the order in which it happens. */
export type VoiceEvents = {
  state: { state: CallState; channelId: string | undefined }
  /** Somebody is in a call: in any channel that one sees. */
  joined: VoiceState
  updated: VoiceState
  left: { channelId: string; userId: string }
  /** All of the above is as the server has just told anew: look at `states`. */
  reset: undefined
  /** Somebody else sends something into the call that one is in. */
  producerAdded: VoiceProducer
  producerUpdated: VoiceProducer
  producerRemoved: VoiceProducer
  /** Who is heard, the loudest first. */
  speakers: Speaker[]
  /** There is a track to show or to play: the first of a subscription, or another one in its place. */
  track: { subscription: Subscription; track: MediaStreamTrack }
  subscriptionEnded: { subscription: Subscription; error?: Error }
  publicationEnded: { publication: Publication; reason: PublicationEnding; error?: Error }
  /** `media`: whether what was sent and received may go on meanwhile. */
  interrupted: { channelId: string; media: boolean }
  /** `resumed`: others have noticed nothing. */
  recovered: { channelId: string; resumed: boolean }
  moved: { from: string; to: string }
  ended: { channelId: string; reason: CallEnding; error?: Error }
}
