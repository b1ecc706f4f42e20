import { type Bench, rate } from '../lib/result.ts'
import { FROM, type FullTrail, TO } from './corpus.ts'

const FORMATS = { ndjson: 'JSONEachRow', csv: 'CSV', parquet: 'Parquet' } as const

/** Events per second of an export through the gateway, against the engine's own of the same rows and columns. */
export async function measureExports(
  { bench, run }: FullTrail,
  { rows, all }: { rows: number; all: number },
  report: Parameters<Bench>[1],
): Promise<void> {
  const to = new Date(FROM + ((TO - FROM) * rows) / all)
  for (const [format, engineFormat] of Object.entries(FORMATS)) {
    const query = new URLSearchParams({ format, from: new Date(FROM).toISOString(), to: to.toISOString() })
    const ours = await taken(async () =>
      fetch(`${bench.server.url}/v1/audit/export?${query}`, {
        headers: { authorization: `Bearer ${await bench.api.accessToken()}` },
      }),
    )
    const bare = await taken(() =>
      run(`SELECT id, occurred_at, service, action, severity, outcome, actor_kind, actor_id, session_id, address, user_agent,
        target_kind, target_id, data, reason, request_id, trace_id FROM events
        WHERE occurred_at >= fromUnixTimestamp64Milli(${FROM}) AND occurred_at <= fromUnixTimestamp64Milli(${to.getTime()})
        ORDER BY occurred_at, id FORMAT ${engineFormat}`),
    )
    report(
      rate(`export.${format}`, 'rows/s', rows / ours.seconds, rows / bare.seconds, {
        baselineOf: "the engine's own export of the same rows, over HTTP",
        rows,
        mbPerSecond: Number((ours.bytes / 1e6 / ours.seconds).toPrecision(4)),
        baselineMbPerSecond: Number((bare.bytes / 1e6 / bare.seconds).toPrecision(4)),
      }),
    )
  }
}

async function taken(ask: () => Promise<Response>): Promise<{ seconds: number; bytes: number }> {
  const began = performance.now()
  const response = await ask()
  if (!response.ok || !response.body) throw new Error(await response.text())
  let bytes = 0
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) bytes += chunk.byteLength
  return { seconds: (performance.now() - began) / 1000, bytes }
}
