export * from './frontier.ts'
export * from './hash.ts'
export * from './proofs.ts'
export * from './tree.ts'
