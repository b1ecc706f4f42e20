import { expect, test } from 'bun:test'
import { Parser } from '@asyncapi/parser'
import {
  clientOps,
  document,
  eventTypes,
  faultsOf,
  messages,
  replies,
  schemas,
  serverOps,
  text,
} from './asyncapi/document.ts'
import { document as openapi } from './matrix/document.ts'

test('the document is valid AsyncAPI 3, without anything to complain of', async () => {
  const { document: parsed, diagnostics } = await new Parser().parse(text)
  // That there is a newer version is no fault of the document.
  expect(diagnostics.filter(({ code }) => code !== 'asyncapi-latest-version')).toEqual([])
  expect(parsed!.version()).toBe('3.0.0')
}, 120_000)

test("every message is somebody's, and has an example that fits its schema, which is closed", () => {
  expect([...new Set([...clientOps, ...replies, ...serverOps, ...eventTypes])].toSorted()).toEqual(
    Object.keys(messages).toSorted(),
  )
  for (const [name, { payload, examples }] of Object.entries(messages)) {
    expect([name, examples.length > 0]).toEqual([name, true])
    for (const example of examples) {
      expect([name, faultsOf(name, example.payload)]).toEqual([name, []])
      expect([name, faultsOf(name, { ...(example.payload as object), novelty: 1 })]).not.toEqual([name, []])
    }
    expect(payload.additionalProperties).toBe(false)
  }
})

test('every reference leads somewhere, and no schema is there for nobody', () => {
  const references = new Set([...JSON.stringify(document).matchAll(/"\$ref":"(#[^"]+)"/g)].map(([, found]) => found!))
  const target = (reference: string) =>
    reference
      .slice(2)
      .split('/')
      .reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], document)
  expect([...references].filter((reference) => target(reference) === undefined)).toEqual([])
  expect(Object.keys(schemas).filter((name) => !references.has(`#/components/schemas/${name}`))).toEqual([])
})

/** "This or null" as the OpenAPI document writes it. */
function normal(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(normal)
  if (typeof value !== 'object' || value === null) return value
  const { anyOf, ...rest } = value as { anyOf?: Record<string, unknown>[] }
  const other = anyOf?.length === 2 && anyOf[1]!.type === 'null' ? anyOf[0]! : undefined
  const plain = typeof other?.type === 'string' ? { ...other, ...rest, type: [other.type, 'null'] } : (value as object)
  return Object.fromEntries(Object.entries(plain).map(([key, part]) => [key, normal(part)]))
}

test('what both documents name is the same in both', () => {
  const shared = Object.keys(schemas).filter((name) => name in openapi.components.schemas)
  expect(shared.length).toBeGreaterThan(10)
  for (const name of shared) {
    expect([name, normal(schemas[name])]).toEqual([name, normal(openapi.components.schemas[name])])
  }
})

test("the protocol's page tells of every op, event and close code", async () => {
  const page = await Bun.file(new URL('../docs/gateway-protocol.md', import.meta.url)).text()
  const codes = document.channels.gateway['x-close-codes'].map(({ code }) => `| ${code} |`)
  const names = [...clientOps, ...eventTypes].map((name) => `\`${name}\``)
  const said = serverOps.map((name) => `"op": "${name}"`)
  expect([...codes, ...names, ...said].filter((wanted) => !page.includes(wanted))).toEqual([])
})
