import { MAX_WEBHOOKS } from '@conntext/contracts'
import { defineErrors } from '@conntext/kernel'

export const webhookErrors = defineErrors('webhook', {
  notFound: { status: 404, title: 'No such webhook' },
  tooMany: { status: 409, title: `A channel has at most ${MAX_WEBHOOKS} webhooks` },
  tooFast: { status: 429, title: 'This webhook writes too fast' },
})
