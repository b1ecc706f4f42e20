import { Fields } from '../api/common.ts'
import { ServiceHealth, VoiceStatus } from '../api/system.ts'
import { definePort, type PortOf } from './port.ts'

export const realtimePort = definePort({
  service: 'realtime',
  operations: {
    voiceStatus: { repeatable: true, request: Fields({}), response: VoiceStatus },
    health: { repeatable: true, request: Fields({}), response: ServiceHealth },
  },
})
export type RealtimePort = PortOf<typeof realtimePort>
