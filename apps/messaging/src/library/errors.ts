import { defineErrors } from '@conntext/kernel'

export const libraryErrors = defineErrors('library', {
  tooSlow: { status: 503, title: 'The list takes too long: ask for one channel, or one kind of file' },
})
