export * from './keyring.ts'
export * from './table.ts'
