import { Backup, BackupPage, IdParams, NewBackup, PageQuery } from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import { askBackup, type BackupDeps, deleteBackup, downloadBackup, getBackup, listBackups } from './service.ts'

const tags = ['System']
const file = { schema: { type: 'string', format: 'binary' } } as const

export const backupRoutes = (deps: BackupDeps, options: AccessOptions) =>
  new Elysia({ normalize: false })
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
    .get('/v1/system/backups/:id/content', ({ caller, params }) => downloadBackup(deps, caller, params.id), {
      can: 'system.manage',
      params: IdParams,
      detail: {
        operationId: 'downloadBackup',
        summary: 'Take a backup along: an encrypted file',
        tags,
        responses: { 200: { description: 'The file', content: { 'application/octet-stream': file } } },
        ...refusals({ 404: 'There is none', 409: 'It is not made yet, or failed', 410: 'Its file is gone' }),
      },
    })
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
