import { defineErrors } from '@conntext/kernel'

export const maintenanceErrors = defineErrors('maintenance', {
  overAlready: { status: 422, title: 'The maintenance would be over already' },
})
