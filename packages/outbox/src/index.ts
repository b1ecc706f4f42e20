export * from './enqueue.ts'
export * from './relay.ts'
export * from './tables.ts'
