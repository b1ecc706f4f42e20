/** One measurement. `ratio` is higher-is-better: value over baseline, or for times and memory baseline over value. */
export type Result = {
  name: string
  value: number
  unit: string
  baseline: number
  ratio: number
} & Record<string, unknown>

export type Bench = (options: { quick: boolean }, report: (result: Result) => void) => Promise<void>

const rounded = (value: number) => Number(value.toPrecision(4))

/** A rate, against the baseline's rate in the same run. */
export const rate = (name: string, unit: string, value: number, baseline: number, more: object = {}): Result => ({
  name,
  value: rounded(value),
  unit,
  baseline: rounded(baseline),
  ratio: rounded(value / baseline),
  ...more,
})

/** A time or an amount of memory: less is better, so the ratio is turned round. */
export const cost = (name: string, unit: string, value: number, baseline: number, more: object = {}): Result => ({
  name,
  value: rounded(value),
  unit,
  baseline: rounded(baseline),
  ratio: rounded(baseline / value),
  ...more,
})

export const median = (values: number[]): number => percentile(values, 0.5)

export function percentile(values: number[], fraction: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))] ?? Number.NaN
}
