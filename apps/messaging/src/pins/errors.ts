import { defineErrors } from '@conntext/kernel'

export const MOST_PINS = 50

export const pinErrors = defineErrors('pin', {
  tooMany: { status: 409, title: `A channel has at most ${MOST_PINS} pinned messages` },
})
