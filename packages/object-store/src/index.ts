export * from './errors.ts'
export { openFilesystemStore } from './filesystem/store.ts'
export { assertKey, assertPrefix } from './keys.ts'
export type * from './object-store.ts'
