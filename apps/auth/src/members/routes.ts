import { IdParams, Member, MemberPage, MemberPatch, PageQuery } from '@conntext/contracts'
import { type AccessOptions, access, pageRequest } from '@conntext/http'
import { Elysia } from 'elysia'
import type { Members } from './service.ts'

const tags = ['Members']

export const memberRoutes = (options: AccessOptions, members: Members) =>
  new Elysia({ prefix: '/v1/members', normalize: false })
    .use(access(options))
    .get('', ({ query }) => members.list(pageRequest(query)), {
      can: 'member',
      query: PageQuery,
      response: { 200: MemberPage },
      detail: { operationId: 'listMembers', summary: 'The members, in the order in which they joined', tags },
    })
    .get('/:id', ({ params }) => members.get(params.id), {
      can: 'member',
      params: IdParams,
      response: { 200: Member },
      detail: { operationId: 'getMember', summary: 'A member', tags },
    })
    .patch('/:id', ({ caller, params, body }) => members.update(caller, params.id, body), {
      can: 'role.manage',
      parse: 'json',
      params: IdParams,
      body: MemberPatch,
      response: { 200: Member },
      detail: { operationId: 'updateMember', summary: "Set a member's roles", tags },
    })
