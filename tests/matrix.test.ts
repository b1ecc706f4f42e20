import { afterAll, beforeAll, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { topology } from '@conntext/testing'
import { accessCases } from './matrix/cases/access.ts'
import { bodyCases } from './matrix/cases/bodies.ts'
import { type Case, maySucceed, type Subject } from './matrix/cases/case.ts'
import { idCases } from './matrix/cases/ids.ts'
import { particularCases } from './matrix/cases/particular.ts'
import { sendTrick, type Trick, tricks } from './matrix/cases/paths.ts'
import { queryCases } from './matrix/cases/query.ts'
import { headerCases, transportCases } from './matrix/cases/transport.ts'
import { faultsByDocument, faultsOfAnswer } from './matrix/check.ts'
import { type Operation, operations } from './matrix/document.ts'
import { goodRequest } from './matrix/requests.ts'
import { type Scene, startScene } from './matrix/scene.ts'
import { type Answer, type Ask, send } from './matrix/send.ts'

/**
 * Bad input of every kind on every operation of the OpenAPI document: new operations are covered as soon as there is a
 * good request for them in matrix/requests.ts, which this test asks for.
 */
let scene: Scene

beforeAll(async () => {
  scene = await startScene()
}, 120_000)

afterAll(() => scene?.[Symbol.asyncDispose](), 60_000)

const expected = (operation: Operation, { expect }: Case): number[] | undefined => {
  if (expect === 'documented') return undefined
  return expect === 'success' ? [operation.success] : [expect].flat()
}

function faultsOf(operation: Operation, one: Case, answer: Answer, ask: Ask): string[] {
  const wanted = expected(operation, one)
  const unexpected = wanted && !wanted.includes(answer.status)
  return [
    ...(unexpected ? [`is ${answer.status}, not ${wanted.join(' or ')}: ${answer.text.slice(0, 200)}`] : []),
    ...faultsOfAnswer(answer, operation.method),
    ...faultsByDocument(operation, answer),
    ...(one.also?.(answer, ask) ?? []),
  ]
}

async function tryCase({ operation, good, unused }: Subject, one: Case): Promise<string[]> {
  const base = maySucceed(one, operation) ? (unused.pop() ?? (await goodRequest(operation, scene))) : good
  const ask = { ...base, ...one.change(base) }
  const answer = await send(scene.server.url, operation.method, operation.path, ask)
  // Nothing was begun of what was refused for its form: what was made for it serves the next.
  if (base !== good && isOfForm(answer)) unused.push(base)
  return faultsOf(operation, one, answer, ask).map((fault) => `${one.name}: ${fault}`)
}

const isOfForm = ({ status, text }: Answer): boolean => status >= 400 && text.includes('"code":"request.')

async function tryTrick({ good }: Subject, trick: Trick): Promise<string[]> {
  const answer = await sendTrick(scene.server.url, trick, good.token)
  if (!answer) return [`${trick.name}: no answer`]
  const expected = trick.expect.includes(answer.status)
  return [
    ...(expected ? [] : [`is ${answer.status}, not ${trick.expect.join(' or ')}: ${answer.text.slice(0, 200)}`]),
    ...faultsOfAnswer(answer, trick.method),
  ].map((fault) => `${trick.name} (${trick.target.slice(0, 80)}): ${fault}`)
}

const generators = [accessCases, idCases, queryCases, bodyCases, transportCases, headerCases, particularCases]
const plain: Case = { name: 'a good request', expect: 'success', change: () => ({}) }

// The token of a good request lives for five minutes, and on a busy machine the cases of an operation may take longer.
const GOOD_MS = 120_000

/** What an operation is tried with: the request that cases are made from, and one that is still good. */
async function subjectOf(operation: Operation) {
  const make = async (): Promise<Subject> => ({
    operation,
    scene,
    good: await goodRequest(operation, scene),
    unused: [],
  })
  const first = await make()
  let present = { subject: first, at: performance.now() }
  const still = async (): Promise<Subject> => {
    if (performance.now() > present.at + GOOD_MS) present = { subject: await make(), at: performance.now() }
    return present.subject
  }
  return { first, still }
}

// What a service makes of bad input is tried with all in one process, each case with each operation. With services apart it
// is the way to them that is tried anew: every operation goes it, with a good request before and after a twelfth of the
// cases and a third of the odd addresses; and every case and every address, with so many of the operations.
const oneIn = topology === 'split' ? { case: 12, trick: 3 } : { case: 1, trick: 1 }
const shareOf =
  (operation: Operation, oneIn: number) =>
  (_: unknown, index: number): boolean =>
    (index + operations.indexOf(operation)) % oneIn === 0

// Whoever tries maintenance is no help to others meanwhile, nor is who takes people out of their call; of backups one is made at
// a time. Who has handed the server over may do nothing of all this any more: that comes last.
const alone = [
  'setMaintenance',
  'createBackup',
  'deleteBackup',
  'moveParticipant',
  'disconnectParticipant',
  'transferOwnership',
]
const inOrder = operations.toSorted((a, b) => alone.indexOf(a.id) - alone.indexOf(b.id))

for (const operation of inOrder) {
  const asTest = alone.includes(operation.id) ? test : test.concurrent
  asTest(
    `${operation.method} ${operation.path}`,
    async () => {
      const subject = await subjectOf(operation)
      const faults: string[] = []
      const cases = generators.flatMap((generate) => generate(subject.first)).filter(shareOf(operation, oneIn.case))
      for (const one of [plain, ...cases]) faults.push(...(await tryCase(await subject.still(), one)))
      for (const trick of tricks(subject.first).filter(shareOf(operation, oneIn.trick))) {
        faults.push(...(await tryTrick(await subject.still(), trick)))
      }
      // Whatever was tried, the operation still does what it is for.
      faults.push(...(await tryCase(await subject.still(), plain)))
      expect(faults).toEqual([])
    },
    600_000,
  )
}

test('afterwards the same processes are ready, and have nothing to complain of', async () => {
  const { server } = scene
  expect(operations.length).toBeGreaterThan(100)
  for (const { pid } of server.processes) expect(existsSync(`/proc/${pid}`)).toBe(true)
  for (const url of server.gateways) expect((await fetch(`${url}/readyz`)).status).toBe(200)
  expect(server.output().match(/"level":"(error|fatal)".*/g) ?? []).toEqual([])
  expect(server.output()).not.toMatch(/a long enough password|eyJ[A-Za-z0-9_-]+\.eyJ/)
})
