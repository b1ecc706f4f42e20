import { Backup, BackupPage, IdParams, NewBackup, PageQuery } from '@conntext/contracts'
import { type AccessOptions, access, headAsGet, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import { downloadBackup } from './download.ts'
import { askBackup, type BackupDeps, deleteBackup, getBackup, listBackups } from './service.ts'

const tags = ['System']
const content = { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } } as const
const contentResponses = {
  200: { description: 'The file', content },
  206: { description: 'The part that was asked for', content },
  304: { description: 'The client has it already' },
}

export const backupRoutes = (deps: BackupDeps, options: AccessOptions) =>
  new Elysia({ normalize: false })
    .wrap(headAsGet)
    .use(access(options))
    .post('/v1/system/backups', async ({ caller, body, status }) => status(202, await askBackup(deps, body, caller)), {
      can: 'system.manage',
      parse: 'json',
      body: NewBackup,
      response: { 202: Backup },
      detail: {
        operationId: 'createBackup',
        summary: 'Have a backup made',
        tags,
        ...refusals({ 409: 'Another is under way, or the settings do not say how backups are encrypted' }),
      },
    })
    .get('/v1/system/backups', ({ query }) => listBackups(deps, query), {
      can: 'system.manage',
      query: PageQuery,
      response: { 200: BackupPage },
      detail: { operationId: 'listBackups', summary: 'The backups, newest first', tags },
    })
    .get('/v1/system/backups/:id', ({ params }) => getBackup(deps, params.id), {
      can: 'system.manage',
      params: IdParams,
      response: { 200: Backup },
      detail: { operationId: 'getBackup', summary: 'How far a backup is, and what it holds', tags },
    })
    .get(
      '/v1/system/backups/:id/content',
      ({ caller, params, request }) => downloadBackup(deps, caller, { id: params.id, request }),
      {
        can: 'system.manage',
        params: IdParams,
        detail: {
          operationId: 'downloadBackup',
          summary: 'Take a backup along, or a range of it: an encrypted file',
          tags,
          responses: contentResponses,
          ...refusals({
            404: 'There is none',
            409: 'It is not made yet, or failed',
            410: 'Its file is gone',
            412: 'The file is not the one that was meant by If-Match or If-Unmodified-Since',
            416: 'The range lies outside the file',
          }),
        },
      },
    )
    .delete(
      '/v1/system/backups/:id',
      async ({ caller, params, status }) => status(204, await deleteBackup(deps, params.id, caller)),
      {
        can: 'system.manage',
        params: IdParams,
        response: { 204: Type.Void() },
        detail: { operationId: 'deleteBackup', summary: 'Delete a backup, or give up one that is being made', tags },
      },
    )
