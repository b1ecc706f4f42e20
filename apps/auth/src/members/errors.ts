import { defineErrors } from '@conntext/kernel'

export const memberErrors = defineErrors('member', {
  notFound: { status: 404, title: 'No such member' },
  unknownRole: { status: 422, title: 'One of the roles does not exist' },
  everyoneNotGiven: { status: 422, title: '@everyone is not given: everyone has it' },
})
