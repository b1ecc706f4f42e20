import type { Problem } from './generated/types.gen.ts'

/** A call that the server refused: the RFC 9457 problem it answered, as an error. `code` is what to look at. */
export class ProblemError extends Error {
  override name = 'ProblemError'
  readonly code: string
  readonly status: number

  constructor(readonly problem: Problem) {
    super(problem.detail ?? problem.title)
    this.code = problem.code
    this.status = problem.status
  }
}

/**
 * Takes a call's answer out of its envelope.
 * @throws ProblemError for a refusal; whatever `fetch` threw when there was no answer.
 */
export async function unwrap<T>(call: Promise<{ data?: T; error?: unknown }>): Promise<NonNullable<T>> {
  const { data, error } = await call
  if (error !== undefined) throw isProblem(error) ? new ProblemError(error) : error
  return data as NonNullable<T>
}

/** Whether it is what the server tells of a refusal, and not a page of something on the way. */
export const isProblem = (value: unknown): value is Problem =>
  typeof value === 'object' && value !== null && 'code' in value && 'status' in value && 'title' in value
