import { defineErrors } from '@conntext/kernel'

export const moderationErrors = defineErrors('moderation', {
  reasonRequired: { status: 422, title: 'This server asks for a reason: give it in X-Audit-Reason' },
  administratorExempt: { status: 409, title: 'A timeout means nothing to an administrator: take the role first' },
})

export const banErrors = defineErrors('ban', {
  notFound: { status: 404, title: 'No such ban' },
  exists: { status: 409, title: 'This account is banned already: lift the ban first' },
})
