import { currentContext, withContext } from './context.ts'

export type SpanKind = 'internal' | 'server' | 'client' | 'producer' | 'consumer'
export type Attributes = Record<string, string | number | boolean>

export type Span = {
  traceparent: string
  set(attributes: Attributes): void
  end(error?: unknown): void
}

export type SpanOptions = {
  kind: SpanKind
  attributes?: Attributes
  /** In the place of the present one, as W3C Trace Context writes it. */
  parent?: string | undefined
  /** A trace may begin here, also one that somebody outside has begun: whether it is kept is decided here. */
  root?: boolean
}

/** What spans are told to; it makes none where a trace begins that isn't kept. */
export type Tracer = { begin(name: string, options: SpanOptions & { parent: string | undefined }): Span | undefined }

// One for the process, as there is one place that its traces go to; none while tracing is off, which is then all that
// a span costs.
let tracer: Tracer | undefined

export const setTracer = (given: Tracer | undefined): void => {
  tracer = given
}

export const isTracing = (): boolean => tracer !== undefined

const isUnsampled = (traceparent: string): boolean => (Number.parseInt(traceparent.slice(-1), 16) & 1) === 0

/** Begins a span by hand; undefined where nothing is traced. Whoever gets one ends it. */
export function beginSpan(name: string, options: SpanOptions): Span | undefined {
  if (tracer === undefined) return undefined
  const context = currentContext()
  const parent = options.parent ?? context?.traceparent
  if (context?.quiet || (parent === undefined && !options.root)) return undefined
  if (parent !== undefined && !options.root && isUnsampled(parent)) return undefined
  return tracer.begin(name, { ...options, parent })
}

/** Does the work as a span of the present trace: what it begins is part of it. */
export async function traced<T>(
  name: string,
  options: SpanOptions,
  work: (span: Span | undefined) => Promise<T>,
): Promise<T> {
  const span = beginSpan(name, options)
  if (!span) return work(undefined)
  try {
    const result = await withContext({ traceparent: span.traceparent }, () => work(span))
    span.end()
    return result
  } catch (error) {
    span.end(error)
    throw error
  }
}
