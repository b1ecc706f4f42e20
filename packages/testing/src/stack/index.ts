export * from './compose.ts'
export { type Member, MemberFailed } from './member.ts'
export * from './programs.ts'
export * from './stack.ts'
