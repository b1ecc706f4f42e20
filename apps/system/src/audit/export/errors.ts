import { defineErrors } from '@conntext/kernel'

export const exportErrors = defineErrors('audit', {
  exportBusy: { status: 429, title: 'Enough exports are running' },
  notResumable: { status: 422, title: 'An export of this form cannot be resumed' },
})
