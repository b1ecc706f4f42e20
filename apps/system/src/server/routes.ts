import { ServerInfo, ServerPatch } from '@conntext/contracts'
import { type AccessOptions, access } from '@conntext/http'
import { Elysia } from 'elysia'
import type { ChangeDeps } from '../change.ts'
import { getServer, updateServer } from './service.ts'

const tags = ['Server']

export const serverRoutes = (deps: ChangeDeps, options: AccessOptions) =>
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
      detail: { operationId: 'updateServer', summary: 'Change the server settings', tags },
    })
