import { auditFor } from '@conntext/contracts'

export const realtimeAudit = auditFor('realtime')
