export * from './console.ts'
export * from './mailer.ts'
export * from './smtp.ts'
