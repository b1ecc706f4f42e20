export * from './bus.ts'
export * from './memory.ts'
export { createRedisBus, type RedisBusOptions } from './redis/bus.ts'
