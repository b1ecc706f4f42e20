import { LogEntryPage, LogQuery } from '@conntext/contracts'
import { type AccessOptions, access } from '@conntext/http'
import { Elysia } from 'elysia'
import { type LogDeps, listLogs } from './service.ts'

export const logRoutes = (deps: LogDeps, options: AccessOptions) =>
  new Elysia({ normalize: false })
    .use(access(options))
    .get('/v1/logs', ({ caller, query }) => listLogs(deps, caller, query), {
      can: 'system.view',
      query: LogQuery,
      response: { 200: LogEntryPage },
      detail: { operationId: 'listLogs', summary: 'What the services have logged, newest first', tags: ['System'] },
    })
