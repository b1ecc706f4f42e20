// What tools/mediasoup-worker needs to know about where the worker belongs.
export type { WorkerReport } from './getter.ts'
export * from './locate.ts'
export * from './probe.ts'
export * from './recipe.ts'
