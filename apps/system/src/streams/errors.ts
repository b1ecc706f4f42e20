import { defineErrors } from '@conntext/kernel'

export const streamErrors = defineErrors('stream', {
  notHere: { status: 422, title: 'The stream belongs to another service' },
  badEventId: { status: 422, title: 'The id of an event is not a UUID' },
})
