// Runs the end-to-end suites of `tests/`: once against the server as one process, and those that hold in both topologies
// once more against the services as processes of their own: the same files, told by `CONNTEXT_TEST_TOPOLOGY` what to start.
import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { runGroup } from './process-group.ts'
import { root } from './root.ts'
import { addReport, addTotals, bunTestArguments, prepareReport, type Totals } from './workspace-tests.ts'

export const endToEndFolder = 'tests'

/** The suites that hold in both topologies, by the run that each is part of: the runs may go on side by side. */
export const readSplitSuites = (): Promise<string[][]> =>
  Bun.file(join(root, endToEndFolder, 'split-suites.json')).json()

export interface EndToEndOptions {
  env: Record<string, string>
  signal: AbortSignal
  totals: Totals
  /** All files of tests. */
  testFiles: string[]
  /** With services apart as well. */
  split: boolean
  say(line: string): void
}

/** The runs that there are, the longest first. Each counts what it finds when it is done, and doesn't fail. */
export async function endToEndRuns(options: EndToEndOptions): Promise<(() => Promise<void>)[]> {
  const { testFiles, split } = options
  const whole = { name: endToEndFolder, title: 'end to end', id: 'whole', testFiles, topology: 'all-in-one' }
  const apart = (split ? await readSplitSuites() : []).map((files, index) => ({
    name: `${endToEndFolder}, split`,
    title: `end to end with the services apart (two gateways, two of messaging, Redis), part ${index + 1}`,
    id: `split-${index}`,
    testFiles: files,
    topology: 'split',
  }))
  return [whole, ...apart.toSorted((one, other) => other.testFiles.length - one.testFiles.length)].map(
    (part) => () => runPart(part, options),
  )
}

type Part = { name: string; title: string; id: string; testFiles: string[]; topology: string }

async function runPart({ name, title, id, testFiles, topology }: Part, options: EndToEndOptions): Promise<void> {
  const { env, signal, totals, say } = options
  if (signal.aborted) return
  const report = `.turbo/junit-${id}.xml`
  await prepareReport(join(endToEndFolder, report))
  const command = [
    process.execPath,
    `--cwd=${join(root, endToEndFolder)}`,
    'test',
    ...bunTestArguments(report),
    ...testFiles.map((file) => `./${file}`),
  ]
  say(`${title}: begun`)
  const began = performance.now()
  const output = await outputOf(id)
  const exitCode = await runGroup(command, {
    env: { ...process.env, ...env, CONNTEXT_TEST_TOPOLOGY: topology },
    stdio: ['ignore', output.to, output.to],
    signal,
  })
  await output.show()
  const found: Totals = { passed: 0, skipped: 0, failures: [] }
  await addReport(found, { name, report: join(endToEndFolder, report), testFiles, exitCode })
  addTotals(totals, found)
  const seconds = Math.round((performance.now() - began) / 1000)
  say(`${title}: ${found.passed} passed, ${found.failures.length} failed, in ${seconds} s`)
}

/** Several go on at once: what each says is shown when it is done, in one piece. */
async function outputOf(id: string) {
  const path = join(root, '.turbo', `${id}.log`)
  await mkdir(join(path, '..'), { recursive: true })
  const file = await open(path, 'w')
  return {
    to: file.fd,
    async show() {
      await file.close()
      console.log(await Bun.file(path).text())
    },
  }
}
