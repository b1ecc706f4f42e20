import { Ban, BanPage, BanParams, IdParams, Member, NewBan, NewTimeout, PageQuery } from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { Bans } from './bans.ts'
import type { Moderation } from './service.ts'

const tags = ['Moderation']
const Nothing = Type.Void()
const BELOW = 'Only those who stand below your own highest role. The reason goes into `X-Audit-Reason`.'

export const moderationRoutes = (options: AccessOptions, moderation: Moderation) =>
  new Elysia({ prefix: '/v1/members', normalize: false })
    .use(access(options))
    .post(
      '/:id/kick',
      async ({ caller, params, status }) => {
        await moderation.kick(caller, params.id)
        return status(204, undefined)
      },
      {
        can: 'member.kick',
        params: IdParams,
        response: { 204: Nothing },
        detail: { operationId: 'kickMember', summary: 'Remove a member, who may join again', description: BELOW, tags },
      },
    )
    .post('/:id/timeout', ({ caller, params, body }) => moderation.timeOut(caller, params.id, body.expiresInSeconds), {
      can: 'member.timeout',
      parse: 'json',
      params: IdParams,
      body: NewTimeout,
      response: { 200: Member },
      detail: {
        operationId: 'timeOutMember',
        summary: 'Silence a member for a time',
        description: BELOW,
        tags,
        ...refusals({ 409: 'An administrator is beyond timeouts' }),
      },
    })
    .delete(
      '/:id/timeout',
      async ({ caller, params, status }) => {
        await moderation.liftTimeout(caller, params.id)
        return status(204, undefined)
      },
      {
        can: 'member.timeout',
        params: IdParams,
        response: { 204: Nothing },
        detail: { operationId: 'liftTimeout', summary: "Lift a member's timeout", description: BELOW, tags },
      },
    )

export const banRoutes = (options: AccessOptions, bans: Bans) =>
  new Elysia({ prefix: '/v1/bans', normalize: false })
    .use(access(options))
    .get('', ({ query }) => bans.list(query), {
      can: 'member.ban',
      query: PageQuery,
      response: { 200: BanPage },
      detail: { operationId: 'listBans', summary: 'Who is banned, newest first', tags },
    })
    .post('', async ({ caller, body, status }) => status(201, await bans.ban(caller, body)), {
      can: 'member.ban',
      idempotent: true,
      parse: 'json',
      body: NewBan,
      response: { 201: Ban },
      detail: {
        operationId: 'createBan',
        summary: 'Ban somebody, be they a member or not',
        description: BELOW,
        tags,
        ...refusals({ 404: 'There is no such user', 409: 'They are banned already' }),
      },
    })
    .get('/:userId', ({ params }) => bans.get(params.userId), {
      can: 'member.ban',
      params: BanParams,
      response: { 200: Ban },
      detail: { operationId: 'getBan', summary: "Somebody's ban", tags },
    })
    .delete(
      '/:userId',
      async ({ caller, params, status }) => {
        await bans.lift(caller, params.userId)
        return status(204, undefined)
      },
      {
        can: 'member.ban',
        params: BanParams,
        response: { 204: Nothing },
        detail: {
          operationId: 'liftBan',
          summary: 'Lift a ban',
          description: 'They are a member again, without roles.',
          tags,
        },
      },
    )
