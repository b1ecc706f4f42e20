import { defineErrors } from '@conntext/kernel'

export const totpErrors = defineErrors('totp', {
  alreadyEnabled: { status: 409, title: 'An authenticator app is set up already; disable it first' },
  notEnrolled: { status: 409, title: 'No authenticator app is being set up; begin anew' },
  notEnabled: { status: 409, title: 'No authenticator app is set up' },
  codeWrong: { status: 422, title: 'The code is wrong; is the clock of the device right?' },
})
