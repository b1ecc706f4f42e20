import { runService, startGuard } from '@conntext/runtime'
import manifest from '../package.json'
import { createRealtimeService, realtimeSettings } from './service.ts'

await runService({
  name: 'realtime',
  port: 8084,
  version: manifest.version,
  neighbours: ['auth'],
  settings: realtimeSettings,
  async create(process) {
    const { settings, log, credentials } = process
    const workers = settings.CONNTEXT_VOICE_WORKERS
    return createRealtimeService({
      log,
      guard: await startGuard(process),
      credential: credentials.shown,
      ...(workers === undefined ? {} : { workers }),
    })
  },
})
