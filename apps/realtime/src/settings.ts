import { Type } from '@sinclair/typebox'

/** What the realtime service is told by the environment, alone or with the others in one process. */
export const realtimeSettings = {
  CONNTEXT_VOICE_WORKERS: Type.Optional(Type.Integer({ minimum: 0, maximum: 256 })),
}
