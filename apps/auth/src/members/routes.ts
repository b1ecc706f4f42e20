import { IdParams, Member, MemberPage, MemberPatch, MemberRoleParams, MembersQuery } from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { Members } from './service.ts'

const tags = ['Members']

export const memberRoutes = (options: AccessOptions, members: Members) =>
  new Elysia({ prefix: '/v1/members', normalize: false })
    .use(access(options))
    .get('', ({ query }) => members.list(query), {
      can: 'member',
      query: MembersQuery,
      response: { 200: MemberPage },
      detail: {
        operationId: 'listMembers',
        summary: 'The members, in the order in which their accounts were made',
        description: 'All, or those with a role, or those whose user name, display name or nickname begins like that.',
        tags,
      },
    })
    .get('/:id', ({ params }) => members.get(params.id), {
      can: 'member',
      params: IdParams,
      response: { 200: Member },
      detail: { operationId: 'getMember', summary: 'A member', tags },
    })
    .patch('/:id', ({ caller, params, body }) => members.update(caller, params.id, body), {
      can: 'member',
      parse: 'json',
      params: IdParams,
      body: MemberPatch,
      response: { 200: Member },
      detail: {
        operationId: 'updateMember',
        summary: "Set a member's nickname and roles",
        description:
          "One's own nickname is everybody's to set; others' take `member.nickname` and to stand above them, roles take `role.manage`. Roles are set as a whole: what isn't named is taken.",
        tags,
        ...refusals({ 403: 'A permission is missing, or somebody or a role is not below you' }),
      },
    })
    .put('/:id/roles/:roleId', ({ caller, params }) => members.giveRole(caller, params), {
      can: 'role.manage',
      params: MemberRoleParams,
      response: { 200: Member },
      detail: { operationId: 'giveRole', summary: 'Give a member a role', tags },
    })
    .delete(
      '/:id/roles/:roleId',
      async ({ caller, params, status }) => {
        await members.takeRole(caller, params)
        return status(204, undefined)
      },
      {
        can: 'role.manage',
        params: MemberRoleParams,
        response: { 204: Type.Void() },
        detail: { operationId: 'takeRole', summary: 'Take a role from a member', tags },
      },
    )
