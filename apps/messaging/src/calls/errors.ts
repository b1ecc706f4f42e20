import { defineErrors } from '@conntext/kernel'

export const callErrors = defineErrors('call', {
  notFound: { status: 404, title: 'No such call' },
  tooSlow: { status: 503, title: 'The list takes too long: ask for one channel' },
})
