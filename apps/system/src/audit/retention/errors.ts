import { defineErrors } from '@conntext/kernel'

export const retentionErrors = defineErrors('audit', {
  retentionTooShort: { status: 422, title: 'Such events must be kept for longer' },
})
