import { defineErrors } from '@conntext/kernel'

export const registrationErrors = defineErrors('registration', {
  closed: { status: 403, title: 'This server takes no new members' },
  inviteRequired: { status: 403, title: 'This server takes new members by invitation only' },
  setupCodeWrong: { status: 403, title: 'The setup code is wrong, or the server has its owner already' },
  usernameTaken: { status: 409, title: 'Another account has this user name' },
  emailTaken: { status: 409, title: 'Another account has this email address' },
  throttled: { status: 429, title: 'Too many wrong codes; wait before the next' },
})
