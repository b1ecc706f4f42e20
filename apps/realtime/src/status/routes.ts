import { VoiceStatus } from '@conntext/contracts'
import { type AccessOptions, access } from '@conntext/http'
import { Elysia } from 'elysia'
import type { Engine } from '../media/engine.ts'
import type { WorkerSupervisor } from '../worker/supervisor.ts'
import { voiceStatus } from './service.ts'

export const statusRoutes = (deps: { access: AccessOptions; supervisor: WorkerSupervisor; engine: Engine }) =>
  new Elysia({ normalize: false, prefix: '/v1/voice', tags: ['Calls'] })
    .use(access(deps.access))
    .get('/status', () => voiceStatus(deps.supervisor, deps.engine), {
      can: 'member',
      response: { 200: VoiceStatus },
      detail: { operationId: 'getVoiceStatus', summary: 'Whether calls can be made' },
    })
