import { fileURLToPath } from 'node:url'
import { type Actor, actors } from './actors.ts'

export type Row = Record<Actor, number>

const FILE = fileURLToPath(new URL('./table.tsv', import.meta.url))
const COLUMNS = [...actors, 'note']

/**
 * What each actor is answered to a good request of each operation: the table that stands beside this file. A note says
 * why, where the permission alone doesn't.
 */
export async function readTable(): Promise<Map<string, Row>> {
  const [head = '', ...lines] = (await Bun.file(FILE).text()).trim().split('\n')
  const columns = head.split('\t').slice(1)
  if (columns.join() !== COLUMNS.join()) throw new Error(`the table's columns are ${columns.join()}`)
  return new Map(
    lines.map((line) => {
      const [operation = '', ...cells] = line.split('\t')
      return [operation, Object.fromEntries(actors.map((actor, index) => [actor, Number(cells[index])])) as Row]
    }),
  )
}

export const rowOf = (operation: string, row: Row): string =>
  [operation, ...actors.map((actor) => row[actor])].join('\t')
