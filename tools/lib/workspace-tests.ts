// Runs `bun test` in every workspace through Turborepo and counts what happened from the JUnit files, so that
// a file that failed to load or a run that broke off half way is a failure and not a smaller number.
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { parseJunit } from './junit.ts'
import { runGroup } from './process-group.ts'
import { root } from './root.ts'
import { turbo, turboEnv } from './static-checks.ts'
import { listFiles, readWorkspaces, type Workspace } from './workspaces.ts'

/** Counts, and of each failure the case, then what was wrong with it, indented. */
export interface Totals {
  passed: number
  skipped: number
  failures: string[]
}

const MOST_LINES = 20
const MOST_CHARACTERS = 400
const reportFile = '.turbo/junit.xml'
const summaries = join(root, '.turbo', 'runs')

/** `bunfig.toml` holds only for the folder it lies in, so the time-out is passed on here as well. */
export const bunTestArguments = (report: string): string[] => [
  '--pass-with-no-tests',
  '--timeout=30000',
  '--reporter=junit',
  `--reporter-outfile=${report}`,
]

export interface Suite {
  workspace: Workspace
  testFiles: string[]
}

/** The workspaces that have tests; all, or those named. */
export async function findSuites(names: string[] = []): Promise<Suite[]> {
  const workspaces = await readWorkspaces(root)
  const suites = await Promise.all(
    workspaces.map(async (workspace) => ({
      workspace,
      testFiles: await listFiles(root, workspace, '**/*.{test,spec}.{ts,tsx,js,jsx,mjs}'),
    })),
  )
  return suites.filter(({ workspace, testFiles }) => testFiles.length > 0 && isAsked(workspace, names))
}

/** Runs the tests of workspaces, so many of these at once. */
export async function runWorkspaceTests(
  suites: Suite[],
  { env, signal, atOnce }: { env: Record<string, string>; signal: AbortSignal; atOnce: number },
): Promise<Totals> {
  const runnable = suites.filter(({ workspace }) => workspace.scripts.test)
  await rm(summaries, { recursive: true, force: true })
  for (const { workspace } of runnable) await prepareReport(join(workspace.folder, reportFile))
  const exitCode = runnable.length === 0 ? 0 : await runTurbo(runnable, env, { signal, atOnce })
  const exitCodes = await readExitCodes()
  const totals: Totals = { passed: 0, skipped: 0, failures: [] }
  for (const suite of suites) await addSuite(totals, suite, exitCodes.get(suite.workspace.name))
  if (exitCode !== 0 && totals.failures.length === 0) totals.failures.push(`turbo run test ended with ${exitCode}`)
  return totals
}

export function addTotals(totals: Totals, found: Totals): void {
  totals.passed += found.passed
  totals.skipped += found.skipped
  totals.failures.push(...found.failures)
}

function isAsked({ name, folder }: Workspace, names: string[]): boolean {
  return names.length === 0 || names.includes(name) || names.includes(folder)
}

/** Takes an earlier run's report away. */
export async function prepareReport(report: string): Promise<void> {
  const file = join(root, report)
  await mkdir(join(file, '..'), { recursive: true })
  await rm(file, { force: true })
}

function runTurbo(
  suites: Suite[],
  env: Record<string, string>,
  { signal, atOnce }: { signal: AbortSignal; atOnce: number },
): Promise<number> {
  const command = [
    ...turbo,
    'test',
    ...suites.map(({ workspace }) => `--filter=${workspace.name}`),
    `--concurrency=${atOnce}`,
    '--continue=always',
    '--env-mode=strict',
    '--summarize',
    '--',
    ...bunTestArguments(reportFile),
  ]
  const stdio: ['ignore', 'inherit', 'inherit'] = ['ignore', 'inherit', 'inherit']
  return runGroup(command, { env: { ...process.env, ...turboEnv, ...env }, stdio, signal })
}

/** Each workspace's exit code, from the summary that Turborepo wrote. */
async function readExitCodes(): Promise<Map<string, number>> {
  const codes = new Map<string, number>()
  for (const file of await readdir(summaries).catch(() => [])) {
    const { tasks } = await Bun.file(join(summaries, file)).json()
    for (const task of tasks) if (task.execution) codes.set(task.package, task.execution.exitCode)
  }
  return codes
}

async function addSuite(totals: Totals, suite: Suite, exitCode: number | undefined): Promise<void> {
  const { workspace, testFiles } = suite
  const { folder } = workspace
  if (!workspace.scripts.test) {
    totals.failures.push(`${folder}: has tests but no "test" script`)
    return
  }
  await addReport(totals, { name: folder, report: join(folder, reportFile), testFiles, exitCode })
}

export interface Run {
  /** What failures are told with. */
  name: string
  /** Where the JUnit report is, from the root. */
  report: string
  /** What must be in it. */
  testFiles: string[]
  exitCode: number | undefined
}

/** Counts what a run of `bun test` did, by its report. */
export async function addReport(totals: Totals, run: Run): Promise<void> {
  const { testFiles, exitCode } = run
  const before = totals.failures.length
  const fail = (what: string) => totals.failures.push(`${run.name}: ${what}`)
  const report = Bun.file(join(root, run.report))
  if (!(await report.exists())) {
    fail(`its test run broke off without a report (exit code ${exitCode ?? 'unknown'})`)
    return
  }
  const seen = new Set<string>()
  for (const test of parseJunit(await report.text())) {
    seen.add(test.file)
    if (test.outcome === 'failed') fail(`${test.file}: ${test.name}${outlined(test.message)}`)
    else totals[test.outcome] += 1
  }
  for (const file of testFiles) if (!seen.has(file)) fail(`${file}: failed to load, or holds no test`)
  if (exitCode !== 0 && totals.failures.length === before) {
    fail(`its tests passed, but the run ended with ${exitCode ?? 'no exit code'}`)
  }
}

/** So much of a message that whoever has only the end of the output can begin with it. */
function outlined(message: string): string {
  const lines = message.split('\n').filter((line) => line.trim() !== '')
  const shown = lines.slice(0, MOST_LINES).map((line) => `\n    ${line.slice(0, MOST_CHARACTERS)}`)
  return shown.join('') + (lines.length > MOST_LINES ? `\n    … and ${lines.length - MOST_LINES} lines more` : '')
}
