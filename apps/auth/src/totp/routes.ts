import { ConfirmationBody, RecoveryCodes, TotpConfirmation, TotpConfirmed, TotpEnrolment } from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { Totp } from './service.ts'

const tags = ['Second factors']

export const totpRoutes = (options: AccessOptions, totp: Totp) =>
  new Elysia({ prefix: '/v1/auth/totp', normalize: false })
    .use(access(options))
    .post('/enrol', ({ caller, body }) => totp.enrol(caller, body), {
      can: 'account',
      parse: 'json',
      body: ConfirmationBody,
      response: { 200: TotpEnrolment },
      detail: {
        operationId: 'enrolTotp',
        summary: 'Begin to set up an authenticator app',
        tags,
        ...refusals({ 409: 'One is set up already' }),
      },
    })
    .post('/confirm', ({ caller, body }) => totp.confirm(caller, body.code), {
      can: 'account',
      parse: 'json',
      body: TotpConfirmation,
      response: { 200: TotpConfirmed },
      detail: {
        operationId: 'confirmTotp',
        summary:
          'Finish it with a code of the app; the first second factor brings recovery codes and ends other sessions',
        tags,
        ...refusals({ 409: 'None is being set up' }),
      },
    })
    .post(
      '/disable',
      async ({ caller, body, status }) => {
        await totp.disable(caller, body)
        return status(204, undefined)
      },
      {
        can: 'account',
        parse: 'json',
        body: ConfirmationBody,
        response: { 204: Type.Void() },
        detail: {
          operationId: 'disableTotp',
          summary: 'Remove the authenticator app',
          tags,
          ...refusals({ 409: 'None is set up, or it is the last second factor and the server asks for one' }),
        },
      },
    )
    .post('/recovery-codes', ({ caller, body }) => totp.renewRecoveryCodes(caller, body), {
      can: 'account',
      parse: 'json',
      body: ConfirmationBody,
      response: { 200: RecoveryCodes },
      detail: {
        operationId: 'renewRecoveryCodes',
        summary: 'New recovery codes; the old ones end',
        tags,
        ...refusals({ 409: 'There is no second factor' }),
      },
    })
