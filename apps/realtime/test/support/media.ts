import * as media from '@conntext/testing/media'
import type { Person } from './person.ts'

export const signalling = ({ port, participant }: Person): media.Signalling => ({
  createTransport: (direction) => port.voiceCreateTransport({ participant, direction }),
  connectTransport: (transportId, dtlsParameters) =>
    port.voiceConnectTransport({ participant, transportId, dtlsParameters }),
  produce: (asked) => port.voiceProduce({ participant, ...asked }),
  consume: (transportId, producerId) => port.voiceConsume({ participant, transportId, producerId }),
  resumeConsumer: (consumerId) => port.voiceResumeConsumer({ participant, consumerId }),
})

/** Really sends opus and VP8 into the call, until closed. */
export const send = (person: Person, kinds?: ('audio' | 'video')[], options?: media.MediaOptions) =>
  media.send(signalling(person), kinds, options)

/** Really receives from the call; counts the packets of each producer. */
export const receive = (person: Person, producerIds: string[], options?: media.MediaOptions) =>
  media.receive(signalling(person), producerIds, options)
