import { defineErrors } from '@conntext/kernel'

export const tailErrors = defineErrors('audit', {
  tailBusy: { status: 429, title: 'Enough people follow the trail' },
  badEventId: { status: 422, title: 'Last-Event-ID is of no event that was sent' },
})
