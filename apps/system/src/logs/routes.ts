import { LogEntryPage, LogQuery, LogSettings, LogSettingsPatch } from '@conntext/contracts'
import { type AccessOptions, access } from '@conntext/http'
import { Elysia } from 'elysia'
import { type LogDeps, listLogs } from './service.ts'
import { getLogSettings, type LogSettingsDeps, updateLogSettings } from './settings.ts'

const tags = ['System']

export const logRoutes = (deps: LogDeps & LogSettingsDeps, options: AccessOptions) =>
  new Elysia({ normalize: false })
    .use(access(options))
    .get('/v1/logs', ({ caller, query }) => listLogs(deps, caller, query), {
      can: 'system.view',
      query: LogQuery,
      response: { 200: LogEntryPage },
      detail: { operationId: 'listLogs', summary: 'What the services have logged, newest first', tags },
    })
    .get('/v1/logs/settings', () => getLogSettings(deps.db), {
      can: 'system.view',
      response: { 200: LogSettings },
      detail: { operationId: 'getLogSettings', summary: 'How much is logged, and for how long it is kept', tags },
    })
    .patch('/v1/logs/settings', ({ caller, body }) => updateLogSettings(deps, caller, body), {
      can: 'system.manage',
      parse: 'json',
      body: LogSettingsPatch,
      response: { 200: LogSettings },
      detail: {
        operationId: 'updateLogSettings',
        summary: 'Change how much all processes log, or for how long it is kept; they obey within seconds',
        tags,
      },
    })
