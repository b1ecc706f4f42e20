import { defineErrors } from '@conntext/kernel'

export const inviteErrors = defineErrors('invite', {
  notFound: { status: 404, title: 'No such invite' },
  expired: { status: 410, title: 'The invite has expired' },
  usedUp: { status: 410, title: 'The invite has been used as often as it may be' },
  noSuchRole: { status: 422, title: 'There is no such role to give' },
  roleNotYours: { status: 403, title: 'This role is not yours to give' },
})
