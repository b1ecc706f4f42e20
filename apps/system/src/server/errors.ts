import { defineErrors } from '@conntext/kernel'

export const serverErrors = defineErrors('server', {
  mfaFirst: { status: 409, title: 'Whoever asks everybody for a second factor has one first' },
  noSuchChange: { status: 404, title: 'There is no such change' },
  badSystemChannel: { status: 422, title: 'There is no such text channel' },
})
