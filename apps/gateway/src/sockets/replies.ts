import type { Problem } from '@conntext/contracts'
import { toAppError, toProblem } from '@conntext/http'
import { type AppError, type Logger, newId } from '@conntext/kernel'
import type { Connection } from './connection.ts'

/** Answers what was done, to whoever wants to know. `data` is JSON text. */
export function succeed(connection: Connection, id: number | undefined, data: string): void {
  if (id !== undefined) connection.send(`{"op":"reply","id":${id},"ok":true,"d":${data}}`)
}

export function fail(connection: Connection, id: number, error: AppError, requestId = newId()): void {
  refer(connection, id, toProblem(error, requestId))
}

/** Answers a problem as another service put it. */
export function refer(connection: Connection, id: number, problem: Problem): void {
  connection.send(JSON.stringify({ op: 'reply', id, ok: false, error: problem }))
}

/** What may be told of a failure; what may not is logged. */
export const known = (log: Logger, error: unknown, requestId?: string): AppError =>
  toAppError('UNKNOWN', error, log, { requestId, path: '/v1/gateway' })
