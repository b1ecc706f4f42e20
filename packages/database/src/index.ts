export * from './errors.ts'
export * from './migrate.ts'
export * from './open.ts'
export * from './provision.ts'
