import { IdParams, PageQuery, ServerInfo, ServerPatch, SettingsChangePage } from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Elysia } from 'elysia'
import { listHistory } from './history.ts'
import { type RestoreDeps, restoreSettings } from './restore.ts'
import { getServer, updateServer } from './service.ts'

const tags = ['Server']

export const serverRoutes = (deps: RestoreDeps, options: AccessOptions) =>
  new Elysia({ normalize: false })
    .use(access(options))
    .get('/v1/server', () => getServer(deps.db), {
      public: true,
      response: { 200: ServerInfo },
      detail: { operationId: 'getServer', summary: 'What the server is, before one logs in', tags },
    })
    .patch('/v1/server', ({ caller, body }) => updateServer(deps, caller, body), {
      can: 'server.manage',
      parse: 'json',
      body: ServerPatch,
      response: { 200: ServerInfo },
      detail: {
        operationId: 'updateServer',
        summary: 'Change the server settings',
        tags,
        ...refusals({
          404: 'There is no such picture of yours',
          409: 'Asking everybody for a second factor takes your own',
        }),
      },
    })
    .get('/v1/server/history', ({ query }) => listHistory(deps.db, query), {
      can: 'server.manage',
      query: PageQuery,
      response: { 200: SettingsChangePage },
      detail: { operationId: 'listServerHistory', summary: 'What the settings were, newest change first', tags },
    })
    .post('/v1/server/history/:id/restore', ({ caller, params }) => restoreSettings(deps, caller, params.id), {
      can: 'server.manage',
      params: IdParams,
      response: { 200: ServerInfo },
      detail: {
        operationId: 'restoreServerSettings',
        summary: 'Take a change of the settings back: what it changed is as before it',
        tags,
        ...refusals({
          404: 'There is no such change, or the picture is gone',
          409: 'Asking everybody for a second factor takes your own',
        }),
      },
    })
