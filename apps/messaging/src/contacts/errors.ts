import { MAX_BLOCKS } from '@conntext/contracts'
import { defineErrors } from '@conntext/kernel'

export const blockErrors = defineErrors('block', {
  userNotFound: { status: 404, title: 'Nobody has this id' },
  tooMany: { status: 409, title: `At most ${MAX_BLOCKS} people can be blocked at once` },
  oneself: { status: 422, title: 'Nobody blocks themselves' },
})
