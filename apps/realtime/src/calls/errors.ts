import { defineErrors } from '@conntext/kernel'

/** What can be wrong with what is asked in calls. */
export const voiceErrors = defineErrors('voice', {
  away: { status: 503, title: 'Calls cannot be made for the moment' },
  notAVoiceChannel: { status: 409, title: 'There are no calls in this channel' },
  videoFull: { status: 409, title: 'As many show something already as may here' },
  full: { status: 409, title: 'The call is full' },
  notInCall: { status: 404, title: 'Not in this call' },
  noMedia: { status: 409, title: 'What was sent and received is gone: join again' },
  noSuchTransport: { status: 404, title: 'No such transport' },
  noSuchProducer: { status: 404, title: 'No such producer' },
  noSuchConsumer: { status: 404, title: 'No such consumer' },
  wrongDirection: { status: 409, title: 'The transport is for the other direction' },
  alreadyConnected: { status: 409, title: 'The transport is connected already, with other parameters' },
  invalidMedia: { status: 422, title: 'The media parameters are not valid here' },
  tooManyStreams: { status: 409, title: 'As many streams of this kind are sent as may be' },
  cannotConsume: { status: 409, title: 'This cannot be received with the codecs that were named' },
  tooMany: { status: 429, title: 'Too many operations wait for one another' },
  cannotMoveThere: { status: 409, title: 'They could not join that channel' },
})
