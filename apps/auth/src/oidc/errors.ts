import { defineErrors } from '@conntext/kernel'

export const oidcErrors = defineErrors('oidc', {
  providerNotFound: { status: 404, title: 'No such provider' },
  providerAway: { status: 503, title: 'The provider is away, or is not set up as it should be' },
  issuerRefused: { status: 422, title: 'The issuer cannot be used' },
  issuerInUse: {
    status: 409,
    title: 'Accounts are linked to this provider: its issuer stays; remove it to make another',
  },
  secretNeeded: { status: 422, title: 'Another issuer or client takes its own client secret: give it, or null' },
  tooManyProviders: { status: 409, title: 'There are as many providers as there can be' },
  returnToRefused: { status: 422, title: 'That is no place to return to' },
  stateInvalid: { status: 400, title: 'This was not begun in this browser, or is over: begin again' },
  denied: { status: 403, title: 'The provider, or whoever was asked there, said no' },
  failed: { status: 401, title: 'The provider did not prove who this is' },
  accountUnusable: { status: 403, title: 'The account cannot be used' },
  codeInvalid: { status: 401, title: 'The code is wrong or over: begin again' },
  linkNeedsLogin: { status: 409, title: 'There is an account with this address: log in to it and link it from there' },
  alreadyLinked: { status: 409, title: 'The account is linked to somebody at this provider already' },
  identityTaken: { status: 409, title: 'Another account is linked to whom you are at this provider' },
  identityNotFound: { status: 404, title: 'No such identity' },
  lastWayIn: { status: 409, title: 'This is the only way into the account: set a password or add a passkey first' },
})
