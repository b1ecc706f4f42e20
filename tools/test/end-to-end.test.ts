import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { readSplitSuites } from '../lib/end-to-end.ts'
import { root } from '../lib/root.ts'

test('whatever asks a deployment is tried with services apart, too, and nothing else is', async () => {
  const folder = join(root, 'tests')
  const asking: string[] = []
  for await (const file of new Bun.Glob('**/*.test.ts').scan(folder)) {
    if (file.startsWith('node_modules/')) continue
    const text = await Bun.file(join(folder, file)).text()
    if (/\b(startDeployment|startScene|startPublicServer)\b/.test(text)) asking.push(file)
  }
  expect(asking.length).toBeGreaterThan(10)
  expect((await readSplitSuites()).flat().toSorted()).toEqual(asking.toSorted())
})
