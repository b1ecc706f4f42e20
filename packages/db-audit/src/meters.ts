import { counter, histogram, traced } from '@conntext/kernel'

const durations = histogram('conntext_clickhouse_seconds', 'Time that ClickHouse took, by what was asked', ['kind'])
const failures = counter('conntext_clickhouse_failures_total', 'What ClickHouse failed at, or was not there for', [
  'kind',
])
const inserted = counter('conntext_clickhouse_rows_inserted_total', 'Rows that were inserted', ['table'])

/** Times what is asked of ClickHouse. The text of a statement has no values in it: those are its parameters. */
export const measured = <T>(kind: 'query' | 'insert' | 'mutation', text: string, work: () => Promise<T>): Promise<T> =>
  traced(
    kind,
    { kind: 'client', attributes: { 'db.system.name': 'clickhouse', 'db.query.text': text.slice(0, 2_000) } },
    async () => {
      const began = performance.now()
      try {
        return await work()
      } catch (error) {
        failures.add(1, kind)
        throw error
      } finally {
        durations.observe((performance.now() - began) / 1000, kind)
      }
    },
  )

export const countInserted = (table: string, rows: number): void => inserted.add(rows, table)
