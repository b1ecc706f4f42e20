export { LENGTH_HEADER, type ProcessState, STATE_HEADER } from './headers.ts'
export { FRESH_MS } from './instance.ts'
export * from './transport.ts'
