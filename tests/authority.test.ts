import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type Actors, type Asking, actors, createActors } from './authority/actors.ts'
import { type Row, readTable, rowOf } from './authority/table.ts'
import { variants } from './authority/variants.ts'
import { faultsOfAnswer } from './matrix/check.ts'
import { type Operation, operations } from './matrix/document.ts'
import { goodRequest } from './matrix/requests.ts'
import { type Scene, startScene } from './matrix/scene.ts'
import { type Answer, type Ask, send } from './matrix/send.ts'

/**
 * Every operation of the OpenAPI document, asked by everybody: the answers stand in authority/table.tsv. Each request is
 * one that succeeds for whom it was made, so what it names is somebody else's to all others. An operation that is
 * missing in the table fails; the test says which row it saw.
 */
let scene: Scene
let people: Actors

beforeAll(async () => {
  scene = await startScene()
  people = await createActors(scene)
}, 120_000)

afterAll(() => scene?.[Symbol.asyncDispose](), 60_000)

const table = await readTable()

type Question = { row: string; operation: Operation; ask: (self: Asking) => Promise<Partial<Ask>> }

const questions: Question[] = [
  ...operations.map((operation) => ({ row: operation.id, operation, ask: () => goodRequest(operation, scene) })),
  ...Object.entries(variants).map(([row, make]) => ({
    row,
    operation: operations.find(({ id }) => id === row.split('#')[0])!,
    ask:
      make.length < 2
        ? async () => make(scene, scene.owner)
        : async (self: Asking) => make(scene, { id: self.id ?? scene.owner.id }),
  })),
]
// After that the owner is another.
const last = questions.findIndex(({ row }) => row === 'transferOwnership')
questions.push(...questions.splice(last, 1))

/** Whose account the request is about, that one must be nobody else: it may not be there any more afterwards. */
const spoils = ({ permission, method }: Operation): boolean => permission === 'account' && method !== 'GET'

const isAtTheDoor = ({ text }: Answer): boolean => text.includes('"code":"access.')

async function rowSeen({ operation, ask }: Question): Promise<{ seen: Row; faults: string[] }> {
  const seen = {} as Row
  const faults: string[] = []
  let unspent: Partial<Ask> | undefined
  for (const actor of actors) {
    const self = await (spoils(operation) ? people.fresh(actor) : people.known(actor))
    const request = unspent ?? (await ask(self))
    const good = { path: {}, query: {}, headers: {}, ...request, token: self.token }
    const answer = await send(scene.server.url, operation.method, operation.path, good)
    // Who isn't let in hasn't used up what was made for it; unless it is about themselves.
    unspent = ask.length === 0 && isAtTheDoor(answer) ? request : undefined
    seen[actor] = answer.status
    faults.push(...faultsOfAnswer(answer, operation.method).map((fault) => `${actor}: ${fault}`))
    if (actor === 'owner' && spoils(operation)) await people.ownerAgain()
  }
  return { seen, faults }
}

for (const question of questions) {
  const { row, operation } = question
  test(`${row}: ${operation.method} ${operation.path}`, async () => {
    const { seen, faults } = await rowSeen(question)
    expect(faults).toEqual([])
    const told = table.get(row)
    expect(rowOf(row, seen)).toBe(told ? rowOf(row, told) : `no row for ${row} in the table`)
  }, 60_000)
}

test('the table names nothing that nobody asks for', () => {
  const asked = new Set(questions.map(({ row }) => row))
  expect([...table.keys()].filter((row) => !asked.has(row))).toEqual([])
})
