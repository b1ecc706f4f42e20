import { defineErrors } from '@conntext/kernel'

export const sqlErrors = defineErrors('audit', {
  sqlRefused: { status: 422, title: 'The statement reaches for what it must not' },
  sqlInvalid: { status: 422, title: 'The statement is not valid' },
  sqlExpensive: { status: 422, title: 'The statement costs too much' },
  sqlBusy: { status: 429, title: 'Enough statements are running' },
})
