import { defineErrors } from '@conntext/kernel'

export const messageErrors = defineErrors('message', {
  notFound: { status: 404, title: 'No such message' },
  notAuthor: { status: 403, title: "Somebody else's message" },
  deleted: { status: 409, title: 'The message that was sent with this nonce has been deleted' },
  fromTheServer: { status: 409, title: 'What the server says is neither edited nor pinned' },
  notATextChannel: { status: 409, title: 'Messages are for text channels' },
  empty: { status: 422, title: 'A message needs words or a file' },
  tooLong: { status: 422, title: 'The message is too long' },
  unstorable: { status: 422, title: 'The message holds something that is not text' },
  replyNotFound: { status: 422, title: 'No such message to reply to in this channel' },
  mediaProcessing: { status: 409, title: 'A picture is still being processed' },
  mediaNotFound: { status: 422, title: 'No such file of yours' },
  tooManyMedia: { status: 422, title: 'Too many files in one message' },
  ambiguousPosition: { status: 422, title: 'At most one of before, after, around and at' },
  slowMode: { status: 429, title: 'This channel is in slow mode: wait before the next message' },
  overloaded: { status: 503, title: 'More is being sent than can be stored at the moment' },
})
