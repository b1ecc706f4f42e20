// The whole test run: static checks, then the tests of every workspace against stores that are started once.
// With arguments, only the tests of the workspaces named: bun tools/test.ts packages/kernel
import { getChromium } from './chromium/get.ts'
import { getDockerCompose } from './docker-compose/get.ts'
import { getFaketime } from './faketime/get.ts'
import { PackagesUnavailable } from './lib/debian-packages.ts'
import { endToEndFolder, endToEndRuns } from './lib/end-to-end.ts'
import { killLeftovers } from './lib/leftovers.ts'
import { runStaticCheck, staticChecks } from './lib/static-checks.ts'
import { addTotals, findSuites, runWorkspaceTests, type Suite, type Totals } from './lib/workspace-tests.ts'
import { getWorker, WorkerUnavailable } from './mediasoup-worker/get.ts'
import { getRadosgw } from './radosgw/get.ts'
import { getRedis } from './redis/get.ts'
import { getProgram } from './stack/get.ts'

/** What `@conntext/testing/shared` answers: stores that all tests share, and how to reach them. */
interface SharedStores {
  env: Record<string, string>
  stop(): Promise<void>
}

const limitMinutes = Number(process.env.CONNTEXT_TEST_LIMIT_MINUTES ?? 80)
const marker = `CONNTEXT_TEST_RUN=${crypto.randomUUID()}`
const run = new AbortController()
const totals: Totals = { passed: 0, skipped: 0, failures: [] }
/** What whoever reads the result should know although nothing failed. */
const notes: string[] = []

const say = (line: string) => console.log(`\n— ${line}`)
const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

function count(name: string, held: boolean): void {
  if (held) totals.passed += 1
  else totals.failures.push(name)
}

async function checkStatically(): Promise<void> {
  for (const name of staticChecks) {
    if (run.signal.aborted) return
    say(name)
    count(`static check: ${name}`, await runStaticCheck(name, run.signal))
  }
}

/** Voice is tested with the real worker. Where none can be had, its tests are skipped, and the result says so. */
async function provideWorker(): Promise<void> {
  say('mediasoup-worker')
  try {
    console.log(await getWorker((line) => console.log(line), run.signal))
  } catch (error) {
    if (!(error instanceof WorkerUnavailable)) throw error
    if (!run.signal.aborted) notes.push(`tests of voice were skipped: ${error.message}`)
  }
}

/** The object store is tested with an S3 server of somebody else's, or, where none can be had, without. */
async function provideRadosgw(): Promise<boolean> {
  say('radosgw')
  try {
    console.log(await getRadosgw((line) => console.log(line), run.signal))
    return true
  } catch (error) {
    if (!(error instanceof PackagesUnavailable)) throw error
    if (!run.signal.aborted) notes.push(`tests against an S3 server were skipped: ${error.message}`)
    return false
  }
}

/** The bus between processes is tested over a real Redis, or, where none can be had, not at all. */
async function provideRedis(): Promise<boolean> {
  say('redis')
  try {
    console.log(await getRedis((line) => console.log(line), run.signal))
    return true
  } catch (error) {
    if (!(error instanceof PackagesUnavailable)) throw error
    if (!run.signal.aborted) notes.push(`tests over Redis were skipped: ${error.message}`)
    return false
  }
}

/** Calls, passkeys and pages are tested in a browser, or, where none can be had, not at all. */
async function provideChromium(): Promise<void> {
  say('chromium')
  try {
    console.log(await getChromium((line) => console.log(line), run.signal))
  } catch (error) {
    if (!(error instanceof PackagesUnavailable)) throw error
    if (!run.signal.aborted) notes.push(`tests in a browser were skipped: ${error.message}`)
  }
}

/** What a clock that is set does to a server is tested, or, where no clock can be set, not at all. */
async function provideFaketime(): Promise<void> {
  say('libfaketime')
  try {
    console.log(await getFaketime((line) => console.log(line), run.signal))
  } catch (error) {
    if (!(error instanceof PackagesUnavailable)) throw error
    if (!run.signal.aborted) notes.push(`clocks that are set were not tested: ${error.message}`)
  }
}

/** The split deployment is tested behind Caddy, or, where none can be had, without. */
async function provideCaddy(): Promise<void> {
  say('caddy')
  const told: string[] = []
  const found = await getProgram('caddy', (line) => told.push(line), run.signal)
  for (const line of told) console.log(line)
  if (!found && !run.signal.aborted) notes.push(`the split deployment was tested without Caddy: ${told.join('; ')}`)
}

/** Calls go through a relay in tests, or, where none can be had, not at all. */
async function provideCoturn(): Promise<void> {
  say('coturn')
  const told: string[] = []
  const found = await getProgram('turnserver', (line) => told.push(line), run.signal)
  for (const line of told) console.log(line)
  if (!found && !run.signal.aborted) notes.push(`calls through a relay were not tested: ${told.join('; ')}`)
}

/** The alerts and the dashboard are asked of a real Prometheus, or, where none can be had, only read. */
async function providePrometheus(): Promise<void> {
  say('prometheus')
  const told: string[] = []
  const found = await getProgram('prometheus', (line) => told.push(line), run.signal)
  for (const line of told) console.log(line)
  if (!found && !run.signal.aborted) notes.push(`alerts were not tested by Prometheus: ${told.join('; ')}`)
}

/** The compose files are checked by a reader that isn't ours, or, where none can be had, by ours alone. */
async function provideDockerCompose(): Promise<void> {
  say('docker-compose')
  try {
    console.log(await getDockerCompose((line) => console.log(line), run.signal))
  } catch (error) {
    if (!(error instanceof PackagesUnavailable)) throw error
    if (!run.signal.aborted) notes.push(`docker-compose did not check the compose files: ${error.message}`)
  }
}

async function startSharedStores(options: { s3: boolean }): Promise<SharedStores> {
  say('starting the stores that tests share')
  try {
    // A variable, since the type checker of this workspace need not know the module.
    const module: string = '@conntext/testing/shared'
    const testing: { startSharedStores(options: { s3: boolean }): Promise<SharedStores> } = await import(module)
    return await testing.startSharedStores(options)
  } catch (error) {
    totals.failures.push(`the stores that tests share did not start: ${messageOf(error)}`)
    return { env: {}, stop: async () => {} }
  }
}

async function testWorkspaces(suites: Suite[], options: { s3: boolean; split: boolean }): Promise<void> {
  const shared = await startSharedStores(options)
  try {
    if (run.signal.aborted) return
    say('tests')
    const [key = '', value = ''] = marker.split('=')
    // CI=true lets a forgotten `.only` fail instead of hiding every other test.
    const env = { CI: 'true', ...shared.env, [key]: value }
    const before = totals.passed + totals.failures.length
    await runSuites(suites, { env, split: options.split })
    if (totals.passed + totals.failures.length === before) totals.failures.push('no workspace ran any test')
  } finally {
    await Promise.race([shared.stop(), Bun.sleep(20_000)])
  }
}

/** Two lanes: of the workspaces, one after the other, and of the end-to-end runs, which both take when they are free. */
async function runSuites(suites: Suite[], { env, split }: { env: Record<string, string>; split: boolean }) {
  const { signal } = run
  const endToEnd = suites.find(({ workspace }) => workspace.folder === endToEndFolder)
  const others = suites.filter((suite) => suite !== endToEnd)
  const runs = endToEnd ? await endToEndRuns({ env, signal, totals, testFiles: endToEnd.testFiles, split, say }) : []
  const takeRuns = async () => {
    for (let next = runs.shift(); next; next = runs.shift()) await next()
  }
  const workspaces = async () => {
    if (others.length > 0) addTotals(totals, await runWorkspaceTests(others, { env, signal, atOnce: endToEnd ? 1 : 2 }))
  }
  await Promise.all([workspaces().then(takeRuns), takeRuns()])
}

function stopAt(reason: string): void {
  if (run.signal.aborted) return
  totals.failures.push(reason)
  run.abort()
}

function report(): void {
  if (totals.failures.length > 0) {
    say('failed')
    for (const failure of totals.failures) console.log(`✗ ${failure}`)
  }
  for (const note of notes) say(note)
  const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : ''
  console.log(`\n${totals.passed} passed, ${totals.failures.length} failed${skipped}`)
}

const names = process.argv.slice(2)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => stopAt(`interrupted by ${signal}`))
}
const limit = setTimeout(() => stopAt(`not done after ${limitMinutes} minutes`), limitMinutes * 60_000)

try {
  if (names.length === 0) await checkStatically()
  const needs = (...words: string[]) =>
    names.length === 0 || names.some((name) => words.some((word) => name.includes(word)))
  if (needs('realtime', 'tests') && !run.signal.aborted) await provideWorker()
  const s3 = needs('object-store', 'messaging', 'server', 'tools', 'tests')
  const hasS3 = s3 && !run.signal.aborted && (await provideRadosgw())
  const hasRedis =
    needs('server', 'runtime', 'realtime', 'test', 'tools') && !run.signal.aborted && (await provideRedis())
  if (needs('tools') && !run.signal.aborted) await provideDockerCompose()
  if (needs('tools') && !run.signal.aborted) await provideCaddy()
  if (needs('realtime', 'tests') && !run.signal.aborted) await provideCoturn()
  if (needs('tests') && !run.signal.aborted) await providePrometheus()
  if (needs('tests') && !run.signal.aborted) await provideChromium()
  if (needs('tests') && !run.signal.aborted) await provideFaketime()
  const split = needs('tests') && hasS3 && hasRedis
  if (needs('tests') && !split) notes.push('the end-to-end tests were not tried with the services apart: see above')
  if (!run.signal.aborted) await testWorkspaces(await findSuites(names), { s3, split })
} catch (error) {
  totals.failures.push(`the test run itself failed: ${messageOf(error)}`)
}
clearTimeout(limit)
for (const { pid, command } of await killLeftovers(marker)) say(`ended a process left behind: ${pid} ${command}`)
report()
process.exit(totals.failures.length > 0 ? 1 : 0)
