export * from './authority.ts'
export * from './databases.ts'
export * from './poll.ts'
export * from './stores.ts'
