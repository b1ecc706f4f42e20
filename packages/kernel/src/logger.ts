import { pino } from 'pino'
import { currentContext, traceIdOf } from './context.ts'
import { CENSORED, loggable, loggableText } from './redact.ts'

/** Structured JSON logging: an object of fields first, then the message. */
export type Logger = {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  child(fields: object): Logger
}

export type LogLevel = 'silent' | 'error' | 'warn' | 'info' | 'debug'

/** How much a process's loggers write: what it was started with, until it is told something else. */
export class LogThreshold {
  #told: LogLevel | null = null

  constructor(readonly own: LogLevel) {}

  get told(): LogLevel | null {
    return this.#told
  }

  get current(): LogLevel {
    return this.#told ?? this.own
  }

  /** `null`: its own again. */
  tell(level: LogLevel | null): void {
    this.#told = level
  }

  /** Whether a line of this severity, as pino counts it, is written. */
  takes(severity: number): boolean {
    return severity >= SEVERITIES[this.current]
  }
}

// pino's.
const SEVERITIES: Record<LogLevel, number> = {
  debug: 20,
  info: 30,
  warn: 40,
  error: 50,
  silent: Number.POSITIVE_INFINITY,
}

export type LoggerOptions = {
  service: string
  /** A threshold is followed while the logger is there. */
  level: LogLevel | LogThreshold
  /** Where lines go; to standard output unless told. */
  write?: (line: string) => void
  /** Gets each line as well, but for what is logged while lines are shipped. */
  ship?: ((line: string) => void) | undefined
}

// What is bound to a child logger doesn't pass through `loggable`.
const BOUND = ['password', 'token', 'accessToken', 'refreshToken', 'authorization', 'setupCode', 'content']

/**
 * A logger that writes JSON lines. What looks like a secret, by its name or by itself, is censored; of errors it writes
 * what `reportError` makes of them. A line says to which request it belongs, and to which trace.
 */
export function createLogger({ service, level, write, ship }: LoggerOptions): Logger {
  const threshold = level instanceof LogThreshold ? level : undefined
  const settings = {
    // Below a threshold a line ends at the hook.
    level: threshold ? 'debug' : level,
    base: { service },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }), log: loggable },
    // pino's own would take a report for an error, and flatten it.
    serializers: { err: (report: unknown) => report },
    redact: { paths: BOUND.flatMap((field) => [field, `*.${field}`]), censor: CENSORED },
    mixin: ofContext,
    hooks: {
      logMethod(args: unknown[], method: (...args: unknown[]) => void, severity: number) {
        if (threshold && !threshold.takes(severity)) return
        const [fields, message] = args
        method.call(this, fields, typeof message === 'string' ? loggableText(message) : message)
      },
    },
  }
  if (level === 'silent') return pino(settings as object)
  const out = write ?? writeOut()
  const both = (line: string) => {
    out(line)
    if (!currentContext()?.quiet) ship?.(line)
  }
  return pino(settings as object, { write: ship ? both : out })
}

/** Synchronously, so that the last words of a process are not lost. */
function writeOut(): (line: string) => void {
  const destination = pino.destination({ fd: 1, sync: true })
  return (line) => void destination.write(line)
}

function ofContext(): object {
  const context = currentContext()
  if (!context) return {}
  const { requestId, traceparent } = context
  const traceId = traceIdOf(traceparent)
  return { ...(requestId && { requestId }), ...(traceId && { traceId }) }
}

export const silentLogger: Logger = createLogger({ service: 'silent', level: 'silent' })
