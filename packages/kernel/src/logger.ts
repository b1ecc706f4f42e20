import { pino } from 'pino'

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

/** A logger that writes JSON lines to standard output. Fields with secret names are censored at two depths. */
export function createLogger(options: { service: string; level: LogLevel; write?: (line: string) => void }): Logger {
  const settings = {
    level: options.level,
    base: { service: options.service },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`]), censor: '[redacted]' },
  }
  return options.write ? pino(settings, { write: options.write }) : pino(settings)
}

export const silentLogger: Logger = createLogger({ service: 'silent', level: 'silent' })
