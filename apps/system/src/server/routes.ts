import { ServerInfo, ServerPatch } from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Elysia } from 'elysia'
import { getServer, type ServerSettingsDeps, updateServer } from './service.ts'

const tags = ['Server']

export const serverRoutes = (deps: ServerSettingsDeps, options: AccessOptions) =>
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
