import { pino } from 'pino'
import { reportError } from './error-report.ts'

/** Structured JSON logging: an object of fields first, then the message. */
export type Logger = {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  child(fields: object): Logger
}

export type LogLevel = 'silent' | 'error' | 'warn' | 'info' | 'debug'

// The second line of defence: nothing that holds these is meant to be logged in the first place.
const SECRET_FIELDS = ['password', 'token', 'accessToken', 'refreshToken', 'authorization', 'setupCode', 'content']

/** Errors become reports wherever they stand, at two depths. */
const withReports = (fields: object, depth = 0): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(fields).map(([key, value]) => {
      if (value instanceof Error) return [key, reportError(value)]
      return [key, depth === 0 && isPlain(value) ? withReports(value, 1) : value]
    }),
  )

const isPlain = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype

/**
 * A logger that writes JSON lines to standard output. Fields with secret names are censored at two depths; of errors
 * it writes what `reportError` makes of them.
 */
export function createLogger(options: { service: string; level: LogLevel; write?: (line: string) => void }): Logger {
  const settings = {
    level: options.level,
    base: { service: options.service },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }), log: (fields: object) => withReports(fields) },
    // pino's own would take a report for an error, and flatten it.
    serializers: { err: (report: unknown) => report },
    redact: { paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`]), censor: '[redacted]' },
  }
  return options.write ? pino(settings, { write: options.write }) : pino(settings)
}

export const silentLogger: Logger = createLogger({ service: 'silent', level: 'silent' })
