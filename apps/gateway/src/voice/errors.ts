import { defineErrors } from '@conntext/kernel'

/** What a gateway finds wrong by itself, in the words of the nodes that have the calls. */
export const voiceErrors = defineErrors('voice', {
  notInCall: { status: 404, title: 'Not in this call' },
})
