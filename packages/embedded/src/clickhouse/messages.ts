import type { ServerOptions } from './server.ts'

/** Parent to child, a JSON line each on standard input: first how to serve, later to stop. The pipe's end: stop. */
export type ToChild = { type: 'serve'; options: ServerOptions } | { type: 'stop'; patienceMs: number }

/** Child to parent, a JSON line each on standard output. */
export type FromChild =
  | { type: 'ready'; port: number }
  | { type: 'failed'; reason: 'missing' | 'port' | 'engine'; message: string }

export function parseMessage<T extends { type: string }>(line: string): T | undefined {
  try {
    const message = JSON.parse(line)
    return typeof message?.type === 'string' ? (message as T) : undefined
  } catch {
    return undefined
  }
}
