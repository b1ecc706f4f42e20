import { SchemaBehind } from '@conntext/database'
import { isDependencyAway } from '@conntext/http'
import { StartError } from '@conntext/kernel'

const PAUSE_MS = { first: 100, longest: 2_000 }
const REMIND_MS = 30_000

/** Why something that a start waited for was given up: the process is to end. */
export class Stopped extends Error {
  override name = 'Stopped'
}

export type Waiting = { say(line: string): void; signal: AbortSignal }

/**
 * Tries until it succeeds, and says what is being waited for and why.
 * @throws StartError, which no waiting mends; Stopped
 */
export async function untilThere<T>(what: string, attempt: () => Promise<T>, { say, signal }: Waiting): Promise<T> {
  let told = { reason: '', at: Number.NEGATIVE_INFINITY }
  for (let pause = PAUSE_MS.first; ; pause = Math.min(PAUSE_MS.longest, pause * 2)) {
    if (signal.aborted) throw new Stopped()
    try {
      return await attempt()
    } catch (error) {
      if (error instanceof StartError) throw error
      const reason = reasonOf(error)
      if (reason !== told.reason || performance.now() - told.at > REMIND_MS) {
        say(`waiting for ${what}: ${reason}`)
        told = { reason, at: performance.now() }
      }
      await pauseUnlessStopped(pause, signal)
    }
  }
}

/** Whether a failure is one that passes: a store or a neighbour is away, or the schema isn't there yet. */
export const mayPass = (error: unknown): boolean => isDependencyAway(error) || isUnprepared(error)

// No such database, table, column or schema, and no right to it: `conntext migrate` has not been here yet.
const UNPREPARED = new Set(['3D000', '42P01', '42703', '42501', '3F000', '28P01', '28000'])

const codeOf = (error: unknown): string => {
  const { cause = error } = (error ?? {}) as { cause?: unknown }
  return String((cause as { code?: unknown } | null)?.code)
}

const isUnprepared = (error: unknown): boolean => error instanceof SchemaBehind || UNPREPARED.has(codeOf(error))

/** In one line. What a query was about is left out. */
function reasonOf(error: unknown): string {
  const code = codeOf(error)
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const words = cause instanceof Error ? cause.message.split('\n')[0]! : String(cause)
  const remedy = isUnprepared(error) ? ' (has `conntext migrate` been run?)' : ''
  return (words === '' ? code : words) + remedy
}

async function pauseUnlessStopped(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, ms)
  signal.addEventListener('abort', () => resolve(), { once: true })
  await promise
  clearTimeout(timer)
}
