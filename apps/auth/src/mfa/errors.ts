import { defineErrors } from '@conntext/kernel'

export const mfaErrors = defineErrors('mfa', {
  required: { status: 409, title: 'This server asks for a second factor: the last one stays' },
  noFactor: { status: 409, title: 'There is no second factor that recovery codes could stand in for' },
  throttled: { status: 429, title: 'Too many wrong codes; wait before the next' },
})
