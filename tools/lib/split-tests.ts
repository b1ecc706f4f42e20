// Runs the end-to-end suites once more, against the services as processes of their own: the same files, told by
// `CONNTEXT_TEST_TOPOLOGY` what to start.
import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { runGroup } from './process-group.ts'
import { root } from './root.ts'
import { addReport, bunTestArguments, prepareReport, type Totals } from './workspace-tests.ts'

const folder = 'tests'

/** The suites that hold in both topologies, by the run that each is part of: the runs go on side by side. */
export const readSplitSuites = (): Promise<string[][]> => Bun.file(join(root, folder, 'split-suites.json')).json()

export async function runSplitTests(env: Record<string, string>, signal: AbortSignal): Promise<Totals> {
  const totals: Totals = { passed: 0, skipped: 0, failures: [] }
  const suites = await readSplitSuites()
  await Promise.all(suites.map((files, index) => runPart({ files, index, env, signal, totals })))
  return totals
}

type Part = { files: string[]; index: number; env: Record<string, string>; signal: AbortSignal; totals: Totals }

async function runPart({ files, index, env, signal, totals }: Part): Promise<void> {
  const report = `.turbo/junit-split-${index}.xml`
  await prepareReport(join(folder, report))
  const arguments_ = [...bunTestArguments(report), ...files.map((file) => `./${file}`)]
  const command = [process.execPath, `--cwd=${join(root, folder)}`, 'test', ...arguments_]
  const output = await outputOf(index)
  const exitCode = await runGroup(command, {
    env: { ...process.env, ...env, CONNTEXT_TEST_TOPOLOGY: 'split' },
    stdio: ['ignore', output.to, output.to],
    signal,
  })
  await output.show()
  await addReport(totals, { name: `${folder}, split`, report: join(folder, report), testFiles: files, exitCode })
}

/** The first one is seen as it goes; what others say is shown when they are done, in one piece. */
async function outputOf(index: number) {
  if (index === 0) return { to: 'inherit' as const, show: async () => {} }
  const path = join(root, '.turbo', `split-${index}.log`)
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
