/** As Prometheus takes it. */
export type Sample = { metricName?: string; labels: Record<string, string>; value: number }

/** Something that this process counts or knows, in the form in which Prometheus is told. */
export type Meter = {
  name: string
  help: string
  type: 'counter' | 'gauge' | 'histogram'
  samples(): Promise<Sample[]> | Sample[]
}

/**
 * All meters of this process. One for all, as of a process there is one: whatever runs in it counts here, and whoever is
 * asked for the figures reads it.
 */
const known = new Map<string, Meter>()

export const meters = (): Meter[] => [...known.values()]

// Labels are bounded by what is declared; should one ever not be, it is not the memory that pays.
const MOST_SERIES = 2_000
const OTHER = '(other)'

type Series<T> = { labels: Record<string, string>; state: T }

class SeriesOf<T> {
  readonly #all = new Map<string, Series<T>>()
  constructor(
    private readonly names: readonly string[],
    private readonly make: () => T,
  ) {}

  at(values: readonly string[]): T {
    const key = values.join('\n')
    const found = this.#all.get(key)
    if (found) return found.state
    if (this.#all.size >= MOST_SERIES && values[0] !== OTHER) return this.at(values.map(() => OTHER))
    const labels = Object.fromEntries(this.names.map((name, index) => [name, values[index] ?? '']))
    const made = { labels, state: this.make() }
    this.#all.set(key, made)
    return made.state
  }

  get all(): Iterable<Series<T>> {
    return this.#all.values()
  }
}

/** Names end in `_total`. The values of the labels are given in the order of their names. */
export function counter(name: string, help: string, labelNames: readonly string[] = []) {
  const series = new SeriesOf(labelNames, () => ({ value: 0 }))
  if (labelNames.length === 0) series.at([])
  const samples = () => [...series.all].map(({ labels, state }) => ({ labels, value: state.value }))
  known.set(name, { name, help, type: 'counter', samples })
  return {
    add(by: number, ...labels: string[]): void {
      series.at(labels).value += by
    },
  }
}

const SECONDS = [0.001, 0.005, 0.025, 0.1, 0.25, 1, 5]

/** Of durations: names end in `_seconds`. */
export function histogram(
  name: string,
  help: string,
  labelNames: readonly string[] = [],
  bounds: readonly number[] = SECONDS,
) {
  const series = new SeriesOf(labelNames, () => ({ buckets: bounds.map(() => 0), count: 0, sum: 0 }))
  const samples = () =>
    [...series.all].flatMap(({ labels, state }) => {
      const bucket = (le: string, value: number) => ({ metricName: `${name}_bucket`, labels: { ...labels, le }, value })
      return [
        ...state.buckets.map((value, index) => bucket(String(bounds[index]), value)),
        bucket('+Inf', state.count),
        { metricName: `${name}_sum`, labels, value: state.sum },
        { metricName: `${name}_count`, labels, value: state.count },
      ]
    })
  known.set(name, { name, help, type: 'histogram', samples })
  return {
    observe(value: number, ...labels: string[]): void {
      const state = series.at(labels)
      state.count += 1
      state.sum += value
      for (let i = bounds.length - 1; i >= 0 && value <= bounds[i]!; i -= 1) state.buckets[i]! += 1
    },
  }
}

type Read = () => Promise<[number, ...string[]][]> | [number, ...string[]][]

/** What is looked at when somebody asks: each source tells its values with their labels, until it ends. */
export function gauge(
  name: string,
  help: string,
  labelNames: readonly string[] = [],
  type: 'gauge' | 'counter' = 'gauge',
) {
  const sources = new Set<Read>()
  const samples = async () => {
    // A source that fails has nothing to tell: that what it looks at is away is told elsewhere.
    const found = await Promise.all([...sources].map(async (read) => read()).map((one) => one.catch(() => [])))
    return found.flat().map(([value, ...labels]) => ({
      labels: Object.fromEntries(labelNames.map((label, index) => [label, labels[index] ?? ''])),
      value,
    }))
  }
  known.set(name, { name, help, type, samples })
  return {
    /** Answers how to end it. */
    from(read: Read): () => void {
      sources.add(read)
      return () => void sources.delete(read)
    },
  }
}
