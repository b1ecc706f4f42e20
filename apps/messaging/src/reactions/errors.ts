import { defineErrors } from '@conntext/kernel'

export const MOST_EMOJI = 20

export const reactionErrors = defineErrors('reaction', {
  tooMany: { status: 409, title: `A message takes at most ${MOST_EMOJI} different emoji` },
  notAnEmoji: { status: 422, title: 'A reaction is one emoji' },
})
