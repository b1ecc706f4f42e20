export * from './drizzle-store.ts'
export * from './store.ts'
export * from './table.ts'
