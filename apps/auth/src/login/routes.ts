import { LoginAnswer, LoginRequest } from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Elysia } from 'elysia'
import type { Login } from './service.ts'

export const loginRoutes = (options: AccessOptions, login: Login) =>
  new Elysia({ normalize: false })
    .use(access(options))
    .post('/v1/auth/login', ({ body, visitor }) => login.login(body, visitor), {
      public: true,
      parse: 'json',
      body: LoginRequest,
      response: { 200: LoginAnswer },
      detail: {
        operationId: 'login',
        summary: 'Log in with a user name or email address and a password',
        tags: ['Authentication'],
        ...refusals({ 401: 'The user name or the password is wrong' }),
      },
    })
