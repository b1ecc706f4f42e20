import { defineErrors } from '@conntext/kernel'

export const botErrors = defineErrors('bot', {
  notFound: { status: 404, title: 'No such bot' },
  notAMember: { status: 409, title: 'The bot was kicked or banned' },
  usernameTaken: { status: 409, title: 'Another account has this user name, or one that looks like it' },
})
