export * from './chain.ts'
export { type Audit, type AuditConnection, isAuditAway, openAudit, type Query } from './client.ts'
export * from './events.ts'
export * from './export.ts'
export * from './filter.ts'
export * from './logs.ts'
export { type Migration, migrateAudit } from './migrate.ts'
export * from './sql/failure.ts'
export * from './sql/run.ts'
export * from './stats.ts'
export * from './tail.ts'

/** The ClickHouse database that holds it. */
export const AUDIT_DATABASE = 'audit'
