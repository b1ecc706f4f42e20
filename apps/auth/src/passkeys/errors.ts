import { defineErrors } from '@conntext/kernel'

export const passkeyErrors = defineErrors('passkey', {
  notFound: { status: 404, title: 'No such passkey' },
  ceremonyEnded: { status: 410, title: 'This took too long, or was finished already; begin anew' },
  notVerified: { status: 422, title: 'What the authenticator said could not be verified' },
  alreadyAdded: { status: 409, title: 'This passkey has been added already' },
  tooMany: { status: 409, title: 'There are as many passkeys as an account can have; remove one first' },
  lastWayIn: { status: 409, title: 'This is the only way into the account: set a password first' },
  copied: { status: 401, title: 'The passkey counts backwards, as a copy of it would: it was not accepted' },
})
