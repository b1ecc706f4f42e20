export * from './locate.ts'
export * from './start.ts'
