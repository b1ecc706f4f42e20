export { type Audit, type AuditConnection, isAuditAway, openAudit, type Query } from './client.ts'
export * from './events.ts'
export { type Migration, migrateAudit } from './migrate.ts'
