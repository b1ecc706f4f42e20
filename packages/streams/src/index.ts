export * from './append.ts'
export * from './publish.ts'
export * from './read.ts'
export * from './tables.ts'
