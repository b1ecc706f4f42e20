import { expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseJunit } from '../lib/junit.ts'

test("Bun's own report is read: passed, failed, skipped, todo, timed out, a failed hook", async () => {
  const folder = await mkdtemp(join(tmpdir(), 'conntext-junit-'))
  try {
    await Bun.write(
      join(folder, 'a.test.ts'),
      `import { describe, expect, test } from 'bun:test'
       describe('<group>', () => {
         test('passes', () => {})
         test('a "bad" & < one', () => { expect(1).toBe(2) })
       })
       test.skip('skipped', () => {})
       test.todo('todo')
       test('slow', async () => { await Bun.sleep(500) }, 10)`,
    )
    await Bun.write(
      join(folder, 'b.test.ts'),
      `import { beforeAll, test } from 'bun:test'
       beforeAll(() => { throw new Error('hook') })
       test('never', () => {})`,
    )
    const report = join(folder, 'junit.xml')
    const command = [process.execPath, 'test', '--reporter=junit', `--reporter-outfile=${report}`]
    Bun.spawnSync(command, { cwd: folder, stdio: ['ignore', 'ignore', 'ignore'] })
    const cases = parseJunit(await Bun.file(report).text())
    const outcomes = cases.map(({ file, name, outcome }) => `${file} ${name}: ${outcome}`)
    expect(outcomes.sort()).toEqual([
      'a.test.ts <group> > a "bad" & < one: failed',
      'a.test.ts <group> > passes: passed',
      'a.test.ts skipped: skipped',
      'a.test.ts slow: failed',
      'a.test.ts todo: skipped',
      'b.test.ts (unnamed): failed',
    ])
    const bad = cases.find(({ name }) => name.includes('bad'))
    expect(bad?.message).toContain('expect(received).toBe(expected)\n\nExpected: 2\nReceived: 1\n')
    expect(bad?.message).toContain('a.test.ts:4:')
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

test('a report that was cut short is refused', () => {
  expect(() => parseJunit('<testsuites><testsuite><testcase name="a"')).toThrow('incomplete')
})
