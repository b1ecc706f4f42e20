import { defineErrors } from '@conntext/kernel'

export const roleErrors = defineErrors('role', {
  notFound: { status: 404, title: 'No such role' },
  nameTaken: { status: 409, title: 'A role with this name exists' },
  tooMany: { status: 409, title: 'The server has as many roles as it can' },
  everyoneFixed: { status: 409, title: 'Of @everyone only the permissions can be changed' },
  notBelowYours: { status: 403, title: 'The role is not below your own highest one' },
  mfaNotHeld: { status: 403, title: 'Only who has a second factor asks others for one' },
  permissionNotHeld: { status: 403, title: 'You cannot grant a permission that you do not have' },
})
