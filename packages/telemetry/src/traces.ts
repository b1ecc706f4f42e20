import { counter, type SpanKind as Kind, type Span, setTracer, type Tracer } from '@conntext/kernel'
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import {
  AlwaysOnSampler,
  BatchSpanProcessor,
  SamplingDecision,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace'

export type TraceOptions = {
  /** Of a collector; `/v1/traces` is added unless it is there. */
  url: string
  /** How many of the traces that begin here are kept, from 0 to 1. */
  ratio: number
  service: string
  version: string
  instance: string
}

const exported = counter('conntext_trace_spans_total', 'Spans, by whether the collector took them', ['outcome'])

const KINDS: Record<Kind, SpanKind> = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
}

// What waits for the collector at most; what comes then is dropped.
const QUEUE = { maxQueueSize: 8_192, maxExportBatchSize: 512, scheduledDelayMillis: 1_000, exportTimeoutMillis: 10_000 }

/** Has spans made and exported, until what it answers is called, which ships those that wait. */
export function exportTraces({ url, ratio, service, version, instance }: TraceOptions): () => Promise<void> {
  const endpoint = /\/v1\/traces\/?$/.test(url) ? url : `${url.replace(/\/$/, '')}/v1/traces`
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      'service.name': service === 'server' ? 'conntext' : `conntext-${service}`,
      'service.version': version,
      'service.instance.id': instance,
    }),
    // What isn't kept never gets here.
    sampler: new AlwaysOnSampler(),
    spanProcessors: [new BatchSpanProcessor({ exporter: counted(new OTLPTraceExporter({ url: endpoint })), ...QUEUE })],
  })
  setTracer(tracerOver(provider, ratio))
  return async () => {
    setTracer(undefined)
    await provider.shutdown()
  }
}

/**
 * From outside comes the trace, not the decision to keep it: everybody could have all of theirs kept. It is made where a
 * trace begins here, once for all services, and before anything is made for it: most may be traces that aren't kept.
 */
function tracerOver(provider: TracerProvider, ratio: number): Tracer {
  const tracer = provider.getTracer('conntext')
  const sampler = new TraceIdRatioBasedSampler(ratio)
  const isKept = (parent: string | undefined): boolean => {
    if (parent === undefined) return Math.random() < ratio
    const { decision } = sampler.shouldSample(ROOT_CONTEXT, parent.slice(3, 35))
    return isSampled(parent) && decision === SamplingDecision.RECORD_AND_SAMPLED
  }
  return {
    begin(name, { kind, attributes, parent, root }) {
      if (root && !isKept(parent)) return parent === undefined ? undefined : unkept(parent)
      const context = parent === undefined ? ROOT_CONTEXT : contextOf(parent, root === true)
      const span = tracer.startSpan(name, { kind: KINDS[kind], ...(attributes && { attributes }) }, context)
      const { traceId, spanId, traceFlags } = span.spanContext()
      return {
        traceparent: `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`,
        set: (more) => void span.setAttributes(more),
        end(error) {
          // The kind of error alone: its words may be somebody's.
          if (error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: nameOf(error) })
          span.end()
        },
      }
    },
  }
}

const isSampled = (traceparent: string): boolean => (Number.parseInt(traceparent.slice(-2), 16) & 1) === 1

/** Somebody's trace as it is passed on to those who are not to keep it either. */
const unkept = (parent: string): Span => ({ traceparent: `${parent.slice(0, 53)}00`, set() {}, end() {} })

function contextOf(traceparent: string, isRemote: boolean) {
  const [, traceId = '', spanId = '', flags = '00'] = traceparent.split('-')
  const parent = { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote }
  return trace.setSpanContext(ROOT_CONTEXT, parent)
}

const nameOf = (error: unknown): string => {
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown }
  return String(code ?? name ?? 'error').slice(0, 100)
}

/** The same exporter, with what becomes of its spans counted. */
const counted = (exporter: SpanExporter): SpanExporter => ({
  export: (spans, done) =>
    exporter.export(spans, (result) => {
      exported.add(spans.length, result.code === 0 ? 'taken' : 'lost')
      done(result)
    }),
  shutdown: () => exporter.shutdown(),
  ...(exporter.forceFlush && { forceFlush: () => exporter.forceFlush!() }),
})
