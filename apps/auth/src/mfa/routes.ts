import { Authenticated, CodeLogin, MfaStatus } from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Elysia } from 'elysia'
import { countRecoveryCodes } from '../recovery-codes/queries.ts'
import { countPasskeys, hasTotp } from './queries.ts'
import type { SecondStep } from './second-step.ts'

const refused = refusals({
  401: 'The code is wrong or used, or the login that waits for it has ended',
  403: 'The account is banned',
})

export const mfaRoutes = (options: AccessOptions, { db, secondStep }: { db: ServerDetails; secondStep: SecondStep }) =>
  new Elysia({ prefix: '/v1/auth', normalize: false })
    .use(access(options))
    .get(
      '/mfa',
      async ({ caller: { userId } }) => ({
        totp: await hasTotp(db, userId),
        passkeys: await countPasskeys(db, userId),
        recoveryCodesLeft: await countRecoveryCodes(db, userId),
      }),
      {
        can: 'account',
        response: { 200: MfaStatus },
        detail: { operationId: 'getMfaStatus', summary: 'Your second factors', tags: ['Second factors'] },
      },
    )
    .post('/login/totp', ({ body, visitor }) => secondStep.totp(body, visitor), {
      public: true,
      parse: 'json',
      body: CodeLogin,
      response: { 200: Authenticated },
      detail: {
        operationId: 'loginWithTotp',
        summary: 'Finish a login with a code of the authenticator app',
        tags: ['Authentication'],
        ...refused,
      },
    })
    .post('/login/recovery-code', ({ body, visitor }) => secondStep.recoveryCode(body, visitor), {
      public: true,
      parse: 'json',
      body: CodeLogin,
      response: { 200: Authenticated },
      detail: {
        operationId: 'loginWithRecoveryCode',
        summary: 'Finish a login with a recovery code',
        tags: ['Authentication'],
        ...refused,
      },
    })
