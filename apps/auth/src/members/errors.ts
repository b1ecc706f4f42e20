import { defineErrors } from '@conntext/kernel'

export const memberErrors = defineErrors('member', {
  notFound: { status: 404, title: 'No such member' },
  unknownRole: { status: 422, title: 'One of the roles does not exist' },
  everyoneNotGiven: { status: 422, title: '@everyone is not given: everyone has it' },
  notBelowYou: { status: 403, title: 'Only those who stand below your own highest role are yours to moderate' },
  timedOut: { status: 403, title: 'A timeout is running' },
  banned: { status: 403, title: 'This account is banned from the server' },
  alreadyMember: { status: 409, title: 'Whoever has not left cannot join again' },
  ownerStays: { status: 409, title: 'The owner hands the server over before leaving it' },
})
