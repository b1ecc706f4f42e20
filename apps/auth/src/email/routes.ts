import { Accepted, EmailVerification } from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { EmailVerificationService } from './verification.ts'

const tags = ['Authentication']

export const emailRoutes = (options: AccessOptions, verification: EmailVerificationService) =>
  new Elysia({ prefix: '/v1/auth/email', normalize: false })
    .use(access(options))
    .post(
      '/request-verification',
      async ({ caller, status }) => {
        await verification.request(caller)
        return status(202, { accepted: true as const })
      },
      {
        can: 'account',
        response: { 202: Accepted },
        detail: {
          operationId: 'requestEmailVerification',
          summary: 'Have a code sent to your email address',
          tags,
          ...refusals({ 409: 'There is no email address, or it has been verified' }),
        },
      },
    )
    .post(
      '/verify',
      async ({ body, visitor, status }) => {
        await verification.verify(body.token, visitor)
        return status(204, undefined)
      },
      {
        public: true,
        parse: 'json',
        body: EmailVerification,
        response: { 204: Type.Void() },
        detail: {
          operationId: 'verifyEmail',
          summary: 'Prove with the code that was sent that you read an email address',
          tags,
          ...refusals({ 400: 'The code is wrong, or was for another address, or is no longer good' }),
        },
      },
    )
