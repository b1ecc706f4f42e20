import type { Readable } from 'node:stream'
import { ClickHouseError, type createClient } from '@clickhouse/client'
import type { Query } from './client.ts'

export type StreamOptions = {
  /** One of the engine's formats. */
  format: string
  settings: Record<string, string | number>
  /** Aborted, the engine ends the query. */
  signal?: AbortSignal
}

type Client = ReturnType<typeof createClient>

/** The engine's answer as it comes. A failure on the way is thrown where it stands: what came before it is not all. */
export async function streamQuery(
  client: Client,
  { sql, params }: Query,
  { format, settings, signal }: StreamOptions,
): Promise<AsyncIterable<Uint8Array>> {
  const { stream, response_headers: headers } = await client.exec({
    query: `${sql}\nFORMAT ${format}`,
    query_params: params,
    clickhouse_settings: settings,
    ...(signal ? { abort_signal: signal } : {}),
  })
  const tag = headers['x-clickhouse-exception-tag']
  return guarded(stream, typeof tag === 'string' ? tag : undefined)
}

/**
 * Once it has begun to answer, the engine can only add its failure to the answer, behind a tag that it has sent ahead.
 * As much as that mark is long is held back.
 */
async function* guarded(stream: Readable, tag: string | undefined): AsyncGenerator<Uint8Array> {
  const mark = tag === undefined ? undefined : Buffer.from(`__exception__\r\n${tag}`)
  let held: Buffer = Buffer.alloc(0)
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (!mark) {
        yield chunk
        continue
      }
      const all = held.length === 0 ? chunk : Buffer.concat([held, chunk])
      const found = all.indexOf(mark)
      if (found !== -1) throw await failureIn(all.subarray(found + mark.length), stream)
      // The mark begins with a line break of its own.
      const kept = Math.min(all.length, mark.length + 2)
      if (all.length > kept) yield all.subarray(0, all.length - kept)
      held = all.subarray(all.length - kept)
    }
    if (held.length > 0) yield held
  } finally {
    stream.destroy()
  }
}

async function failureIn(beginning: Buffer, stream: Readable): Promise<Error> {
  const chunks = [beginning]
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk)
  const text = Buffer.concat(chunks).toString()
  const [, code, message, type] = /Code: (\d+)\. DB::Exception: ([\s\S]*?)\((\w+)\)/.exec(text) ?? []
  return new ClickHouseError({
    code: code ?? '1000',
    message: message ?? text.trim(),
    type: type ?? 'UNKNOWN',
  } as never)
}
