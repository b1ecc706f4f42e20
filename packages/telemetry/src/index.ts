import { Type } from '@sinclair/typebox'
import type { TraceOptions } from './traces.ts'

/** Where traces go, for every process. None are made where no address is set. */
export const traceSettings = {
  CONNTEXT_OTLP_URL: Type.Optional(
    Type.String({
      pattern: '^https?://[^\\s]+$',
      expects: 'the URL of a collector that speaks OTLP over HTTP, such as http://collector:4318',
    }),
  ),
  CONNTEXT_TRACE_RATIO: Type.Number({ minimum: 0, maximum: 1, default: 1 }),
}

export type TraceConfig = { CONNTEXT_OTLP_URL?: string; CONNTEXT_TRACE_RATIO: number }

/** Begins to trace, where an address is set; answers how to end it, which ships what waits. */
export async function startTraces(
  config: TraceConfig,
  about: Pick<TraceOptions, 'service' | 'version' | 'instance'>,
): Promise<() => Promise<void>> {
  const { CONNTEXT_OTLP_URL: url, CONNTEXT_TRACE_RATIO: ratio } = config
  if (url === undefined) return async () => {}
  // Loaded where it is wanted alone: it costs memory and a part of the start.
  const { exportTraces } = await import('./traces.ts')
  return exportTraces({ url, ratio, ...about })
}
