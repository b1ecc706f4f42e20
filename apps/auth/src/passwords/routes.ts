import { Accepted, PasswordChange, PasswordReset, PasswordResetRequest } from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { PasswordResets } from './resets.ts'
import type { Passwords } from './service.ts'

const tags = ['Authentication']

export const passwordRoutes = (
  options: AccessOptions,
  { passwords, resets }: { passwords: Passwords; resets: PasswordResets },
) =>
  new Elysia({ prefix: '/v1/auth/password', normalize: false })
    .use(access(options))
    .post(
      '/change',
      async ({ caller, body, status }) => {
        await passwords.change(caller, body)
        return status(204, undefined)
      },
      {
        can: 'account',
        parse: 'json',
        body: PasswordChange,
        response: { 204: Type.Void() },
        detail: {
          operationId: 'changePassword',
          summary: 'Set a new password, or a first one',
          description: 'Ends your other sessions; API tokens stay.',
          tags,
          ...refusals({ 403: 'The current password, or the code, is missing or wrong' }),
        },
      },
    )
    .post(
      '/request-reset',
      async ({ body, visitor, status }) => {
        await resets.request(body.login, visitor)
        return status(202, { accepted: true as const })
      },
      {
        public: true,
        parse: 'json',
        body: PasswordResetRequest,
        response: { 202: Accepted },
        detail: {
          operationId: 'requestPasswordReset',
          summary: 'Have a code sent to the email address of an account, to set a new password with',
          description: 'The answer is the same whether or not there is such an account with an email address.',
          tags,
        },
      },
    )
    .post(
      '/reset',
      async ({ body, visitor, status }) => {
        await resets.reset(body, visitor)
        return status(204, undefined)
      },
      {
        public: true,
        parse: 'json',
        body: PasswordReset,
        response: { 204: Type.Void() },
        detail: {
          operationId: 'resetPassword',
          summary: 'Set a new password with the code that was sent',
          description: 'Ends all sessions of the account. Then log in; a second factor is asked for as always.',
          tags,
          ...refusals({ 400: 'The code is wrong or no longer good' }),
        },
      },
    )
