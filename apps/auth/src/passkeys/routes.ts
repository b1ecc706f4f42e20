import {
  AddedPasskey,
  Authenticated,
  ConfirmationBody,
  IdParams,
  NewPasskey,
  PageQuery,
  Passkey,
  PasskeyLogin,
  PasskeyLoginRequest,
  PasskeyLoginStart,
  PasskeyPage,
  PasskeyPatch,
  PasskeyRegistrationStart,
} from '@conntext/contracts'
import { type AccessOptions, access, pageRequest, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { PasskeyLogins } from './login.ts'
import type { Passkeys } from './service.ts'

const tags = ['Second factors']

export const passkeyRoutes = (options: AccessOptions, passkeys: Passkeys) =>
  new Elysia({ prefix: '/v1/auth/passkeys', normalize: false })
    .use(access(options))
    .post('/registration/options', ({ caller, body }) => passkeys.startRegistration(caller, body), {
      can: 'account',
      parse: 'json',
      body: ConfirmationBody,
      response: { 200: PasskeyRegistrationStart },
      detail: {
        operationId: 'startPasskeyRegistration',
        summary: 'Begin to add a passkey: what navigator.credentials.create() takes',
        tags,
        ...refusals({ 409: 'There are as many as an account can have' }),
      },
    })
    .post('', async ({ caller, body, status }) => status(201, await passkeys.add(caller, body)), {
      can: 'account',
      parse: 'json',
      body: NewPasskey,
      response: { 201: AddedPasskey },
      detail: {
        operationId: 'addPasskey',
        summary:
          'Add the passkey that the browser made; the first second factor brings recovery codes and ends other sessions',
        tags,
        ...refusals({
          409: 'It has been added already, or there are as many as an account can have',
          410: 'The ceremony took too long, or was finished already',
        }),
      },
    })
    .get('', ({ caller, query }) => passkeys.list(caller, pageRequest(query)), {
      can: 'account',
      query: PageQuery,
      response: { 200: PasskeyPage },
      detail: { operationId: 'listPasskeys', summary: 'Your passkeys, oldest first', tags },
    })
    .patch('/:id', ({ caller, params, body }) => passkeys.rename(caller, params.id, body.name), {
      can: 'account',
      parse: 'json',
      params: IdParams,
      body: PasskeyPatch,
      response: { 200: Passkey },
      detail: { operationId: 'renamePasskey', summary: 'Give a passkey another name', tags },
    })
    .delete(
      '/:id',
      async ({ caller, params, body, status }) => {
        await passkeys.remove(caller, params.id, body)
        return status(204, undefined)
      },
      {
        can: 'account',
        parse: 'json',
        params: IdParams,
        body: ConfirmationBody,
        response: { 204: Type.Void() },
        detail: {
          operationId: 'removePasskey',
          summary: 'Remove a passkey',
          tags,
          ...refusals({
            409: 'It is the only way into the account, or the last second factor of a server that asks for one',
          }),
        },
      },
    )

export const passkeyLoginRoutes = (options: AccessOptions, logins: PasskeyLogins) =>
  new Elysia({ prefix: '/v1/auth/passkeys/login', normalize: false })
    .use(access(options))
    .post('/options', ({ body, visitor }) => logins.start(body, visitor), {
      public: true,
      parse: 'json',
      body: PasskeyLoginRequest,
      response: { 200: PasskeyLoginStart },
      detail: {
        operationId: 'startPasskeyLogin',
        summary: 'Begin a login by passkey, alone or as the second factor: what navigator.credentials.get() takes',
        tags: ['Authentication'],
        ...refusals({ 401: 'The login that waits for it has ended, or its account has no passkey' }),
      },
    })
    .post('', ({ body, visitor }) => logins.finish(body, visitor), {
      public: true,
      parse: 'json',
      body: PasskeyLogin,
      response: { 200: Authenticated },
      detail: {
        operationId: 'loginWithPasskey',
        summary: 'Log in with what the browser answered',
        tags: ['Authentication'],
        ...refusals({ 401: 'The passkey was not accepted', 403: 'The account is banned' }),
      },
    })
