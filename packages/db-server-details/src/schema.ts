export * from './audit.ts'
export * from './auth.ts'
export * from './backups.ts'
export * from './system.ts'
