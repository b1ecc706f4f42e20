import { expect, test } from 'bun:test'
import { progressBar } from '../src/cli/progress.ts'

function drawn(isTTY: boolean, ...steps: number[]): string {
  let text = ''
  const bar = progressBar({ isTTY, write: (more) => (text += more) })
  for (const done of steps) bar.show({ done, total: 2_000, what: 'MiB' })
  bar.end()
  bar.end()
  return text
}

test('in a terminal a bar is drawn over, and its line ended once', () => {
  const text = drawn(true, 0, 1_000, 2_500)
  expect(text.split('\r').slice(1)).toEqual([
    `${'░'.repeat(30)} 0 %, 0 of 2,000 MiB\u001b[K`,
    `${'█'.repeat(15)}${'░'.repeat(15)} 50 %, 1,000 of 2,000 MiB\u001b[K`,
    `${'█'.repeat(30)} 100 %, 2,500 of 2,000 MiB\u001b[K\n`,
  ])
  expect(drawn(true)).toBe('')
})

test('elsewhere nothing is said', () => {
  expect(drawn(false, 0, 1_000, 2_000)).toBe('')
})
