import type { Static, TSchema } from '@sinclair/typebox'

/**
 * One call that a service offers to the other services: what it takes and what it answers, both checked. `repeatable`:
 * doing it twice is as good as doing it once, so that it is sent again where an answer was lost on the way. `quiet`:
 * nothing is logged, counted or traced of it, since it comes about by that.
 */
export type Operation = {
  request: TSchema
  response: TSchema
  repeatable?: boolean | ((request: never) => boolean)
  quiet?: boolean
}

/** A service's port: a literal table, so that both ends are made from the same words. */
export type PortTable = { service: string; operations: Record<string, Operation> }

/** What a port looks like to whoever calls it and to whoever implements it. Failures are `AppError`s. */
export type PortOf<P extends PortTable> = {
  [K in keyof P['operations']]: (
    request: Static<P['operations'][K]['request']>,
  ) => Promise<Static<P['operations'][K]['response']>>
}

export const definePort = <const P extends PortTable>(table: P): P => table
