import { open, rm } from 'node:fs/promises'
import type { AuditEvent } from '@conntext/contracts'
import { type Environment, parseConfig, readEnvironment, StartError } from '@conntext/kernel'
import { Type } from '@sinclair/typebox'
import { loadConfig } from '../config.ts'
import { type Options, UsageError } from './arguments.ts'
import { localUrl } from './doctor/network.ts'
import { progressBar } from './progress.ts'
import { isSplit } from './split-place.ts'

const FORMATS = ['ndjson', 'csv', 'parquet']
const AGAIN_AFTER_MS = 1_000
const NEWLINE = 10

const Settings = Type.Object({
  CONNTEXT_TOKEN: Type.String({ minLength: 1, description: 'An API token of somebody who may see the audit trail' }),
})

/** A server as whoever has a token sees it, so that the trail says who read it. */
type Server = { url: string; token: string }

/** @throws ConfigError, UsageError */
export function serverOf(environment: Environment, { url }: Options): Server {
  const { CONNTEXT_TOKEN: token } = parseConfig(Settings, readEnvironment(environment))
  if (url !== undefined) {
    if (!/^https?:\/\//.test(url) || !URL.canParse(url)) throw new UsageError('--url takes the address of a server')
    return { url, token }
  }
  if (isSplit(environment)) throw new UsageError('where the services are apart, --url has to say where the gateway is')
  return { url: localUrl(loadConfig(environment).gateway), token }
}

async function ask(server: Server, path: string, query: Record<string, string | undefined>, headers = {}) {
  const url = new URL(path, server.url)
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value)
  return fetch(url, { headers: { authorization: `Bearer ${server.token}`, ...headers } }).catch(() => undefined)
}

async function refusal(answer: Response | undefined, { url }: Server): Promise<StartError> {
  if (!answer) return new StartError(`Nothing answers at ${url}.`)
  const { title, detail } = (await answer.json().catch(() => ({}))) as { title?: string; detail?: string }
  return new StartError(`The server refuses it (${answer.status}). ${[title, detail].filter(Boolean).join('. ')}`)
}

function timeOf(name: 'from' | 'until', text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const time = new Date(text)
  if (Number.isNaN(time.getTime())) throw new UsageError(`--${name} takes a time such as 2026-03-01T12:00Z`)
  return time.toISOString()
}

/**
 * Writes the audit trail, oldest first, to a new file or to standard output, as it comes; answers what there is to say.
 * What breaks off leaves no file.
 * @throws UsageError, StartError
 */
export async function exportAudit(server: Server, options: Options): Promise<string> {
  const { to, format = 'ndjson', action } = options
  if (!FORMATS.includes(format)) throw new UsageError(`--format takes one of ${FORMATS.join(', ')}`)
  const window = { from: timeOf('from', options.from), to: timeOf('until', options.until) }
  const answer = await ask(server, '/v1/audit/export', { format, action, ...window })
  if (!answer?.ok) throw await refusal(answer, server)
  const out = to === undefined ? toStandardOutput() : await toNewFile(to)
  const total = Number(answer.headers.get('x-expected-rows'))
  // A bar amid what is printed would be of no use to anybody.
  const bar = progressBar(to === undefined && process.stdout.isTTY ? { write: () => {} } : process.stderr)
  let [lines, bytes] = [0, 0]
  try {
    for await (const chunk of answer.body!) {
      await out.write(chunk)
      bytes += chunk.length
      for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, at + 1)) lines += 1
      if (format !== 'parquet') bar.show({ done: Math.min(lines, total), total, what: 'events' })
    }
    await out.end()
  } catch (error) {
    await out.discard()
    throw new StartError(`The export broke off: ${error instanceof Error ? error.message : error}`)
  } finally {
    bar.end()
  }
  return `${(format === 'ndjson' ? lines : total).toLocaleString('en')} events, ${bytes.toLocaleString('en')} bytes`
}

type Sink = { write(chunk: Uint8Array): Promise<unknown>; end(): Promise<unknown>; discard(): Promise<unknown> }

async function toNewFile(path: string): Promise<Sink> {
  const file = await open(path, 'wx', 0o600).catch((error: Error) => {
    throw new UsageError(`--to takes a file that isn't there yet: ${error.message}`)
  })
  return {
    write: (chunk) => file.writeFile(chunk),
    async end() {
      await file.sync()
      await file.close()
    },
    async discard() {
      await file.close()
      await rm(path)
    },
  }
}

function toStandardOutput(): Sink {
  const writer = Bun.stdout.writer()
  return {
    async write(chunk) {
      writer.write(chunk)
      await writer.flush()
    },
    end: async () => writer.flush(),
    discard: async () => {},
  }
}

/**
 * Prints each event as it is stored, from now on, until it is interrupted or nobody reads it any more: on a line of words,
 * or of JSON. What breaks off is gone on with, and nothing is missed or told twice.
 * @throws UsageError, StartError where it may not be followed
 */
export async function tailAudit(server: Server, options: Options): Promise<void> {
  const { action, format } = options
  if (format !== undefined && format !== 'ndjson') throw new UsageError('--format takes ndjson')
  const out = toStandardOutput()
  const print = (line: string) =>
    out.write(Buffer.from(`${line}\n`)).then(
      () => true,
      () => false,
    )
  let lastId: string | undefined
  for (;;) {
    const answer = await ask(server, '/v1/audit/tail', { action }, lastId !== undefined && { 'last-event-id': lastId })
    const isPassing = lastId !== undefined && (!answer || answer.status === 429 || answer.status >= 500)
    if (!answer?.ok && !isPassing) throw await refusal(answer, server)
    if (answer?.ok) {
      for await (const { id, event, data } of messagesOf(answer)) {
        if (event === 'audit') {
          const line = format === 'ndjson' ? data! : lineOf(JSON.parse(data!) as AuditEvent)
          if (!(await print(line))) return
        }
        if (event === 'end' && data?.includes('revoked')) throw new StartError('It may no longer be followed.')
        lastId = id ?? lastId
      }
    }
    await Bun.sleep(AGAIN_AFTER_MS)
  }
}

type Message = Partial<Record<'id' | 'event' | 'data', string>>

/** Server-sent events, until the connection ends, however it does. */
async function* messagesOf(answer: Response): AsyncGenerator<Message> {
  const utf8 = new TextDecoder()
  let text = ''
  try {
    for await (const chunk of answer.body!) {
      text += utf8.decode(chunk, { stream: true })
      const blocks = text.split('\n\n')
      text = blocks.pop()!
      for (const block of blocks) yield Object.fromEntries(block.split('\n').map((line) => line.split(/: (.*)/s)))
    }
  } catch {
    // The server, or what is between it and us, is gone: its next one is asked.
  }
}

const lineOf = ({ occurredAt, severity, outcome, service, action, actor, target, reason, data }: AuditEvent): string =>
  [
    `${occurredAt}  ${severity.padEnd(8)}  ${outcome.padEnd(7)}  ${service}.${action}`,
    `by ${actor.kind}${actor.id === null ? '' : ` ${actor.id}`}${actor.address === null ? '' : ` from ${actor.address}`}`,
    `on ${target.kind}${target.id === null ? '' : ` ${target.id}`}`,
    JSON.stringify(data),
    ...(reason === null ? [] : [JSON.stringify(reason)]),
  ].join('  ')
