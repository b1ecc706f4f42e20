import { describe, expect, test } from 'bun:test'
import { KindGuard, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import * as contracts from '../src/index.ts'
import { everyoneDefaults, isPermission, pageLimit, permissionNames, permissions } from '../src/index.ts'
import './support/formats.ts'

const exported = Object.entries(contracts as Record<string, unknown>)
const schemas = exported.filter((entry): entry is [string, TSchema] => KindGuard.IsSchema(entry[1]))
const ports = Object.values(contracts).filter(
  (value): value is typeof contracts.authPort => typeof value === 'object' && value !== null && 'operations' in value,
)

/** Every object schema within one, with where it stands. */
function objectsIn(schema: TSchema, path: string): [string, TSchema][] {
  const children = [
    ...Object.entries((schema.properties ?? {}) as Record<string, TSchema>),
    ...Object.entries((schema.anyOf ?? []) as TSchema[]),
    ...(schema.items ? [['[]', schema.items as TSchema] as const] : []),
  ]
  const own: [string, TSchema][] = schema.type === 'object' && schema.properties ? [[path, schema]] : []
  return [...own, ...children.flatMap(([key, child]) => objectsIn(child, `${path}/${key}`))]
}

describe('every object of the contracts', () => {
  const all = [
    ...schemas.flatMap(([name, schema]) => objectsIn(schema, name)),
    ...Object.entries(contracts.clientFrames).flatMap(([op, schema]) => objectsIn(schema, `frame ${op}`)),
    ...ports.flatMap(({ service, operations }) =>
      Object.entries(operations).flatMap(([name, { request, response }]) => [
        ...objectsIn(request, `${service}.${name} request`),
        ...objectsIn(response, `${service}.${name} response`),
      ]),
    ),
  ]

  // The browser writes them, and adds fields with every level of the WebAuthn standard.
  const open = new Set([
    'PasskeyRegistrationResponse',
    'PasskeyAttestation',
    'PasskeyLoginResponse',
    'PasskeyAssertion',
  ])

  // A client has to ignore what else a provider sends (RFC 6749, section 4.1.2).
  const openQueries = new Set(['OidcCallbackQuery'])

  test('is closed, but for what authenticators and identity providers say', () => {
    expect(all.length).toBeGreaterThan(80)
    const closed = all.filter(([path, schema]) => !open.has(schema.title ?? '') && !openQueries.has(path))
    expect(closed.filter(([, schema]) => schema.additionalProperties !== false).map(([path]) => path)).toEqual([])
    const bounded = all.filter(([, schema]) => open.has(schema.title ?? ''))
    expect(bounded.every(([, schema]) => schema.maxProperties <= 24)).toBe(true)
  })

  test('with a title is the only one of that title, so that it can be a component', () => {
    const titled = new Map<string, Set<string>>()
    for (const [, schema] of all) {
      if (!schema.title) continue
      titled.set(schema.title, (titled.get(schema.title) ?? new Set()).add(JSON.stringify(schema)))
    }
    expect([...titled].filter(([, forms]) => forms.size > 1).map(([title]) => title)).toEqual([])
  })
})

describe('permissions', () => {
  test.each(permissionNames)('%s is well-formed', (name) => {
    expect(name).toMatch(/^[a-z]+(\.[a-z][a-zA-Z]*)?$/)
    expect(permissions[name].title).toMatch(/^[A-Z].*[^.]$/)
  })

  test('given to everyone let nobody manage anything', () => {
    expect(everyoneDefaults).toContain('channel.view')
    expect(everyoneDefaults.filter((name) => /administrator|manage|ban|kick|moderate|audit|system/.test(name))).toEqual(
      [],
    )
  })

  test('are known by their names alone', () => {
    expect(isPermission('channel.view')).toBe(true)
    expect(['toString', '__proto__', 'constructor', '', 'channel'].some(isPermission)).toBe(false)
  })
})

describe('lists', () => {
  test('take a limit from 1 to 100, and 50 stands in for none', () => {
    const takes = (limit: string) => Value.Check(contracts.PageQuery, { limit })
    expect(['1', '9', '50', '99', '100'].every(takes)).toBe(true)
    expect(['0', '101', '-1', '1.5', '1e1', '', ' 1', '1000', '007'].some(takes)).toBe(false)
    expect([pageLimit(undefined), pageLimit('7'), pageLimit('100')]).toEqual([50, 7, 100])
  })
})

describe('ids and names', () => {
  test('an id is a lower-case UUID and nothing more', () => {
    const id = '01a20675-c9c6-7677-b1e0-5d965a0ce64c'
    expect(Value.Check(contracts.Id, id)).toBe(true)
    expect([id.toUpperCase(), `${id}\n`, ` ${id}`, `${id}0`].some((one) => Value.Check(contracts.Id, one))).toBe(false)
  })

  test.each(['ab', 'A.b-c_d', '0x', 'a'.repeat(32)])('%p is a user name', (name) => {
    expect(Value.Check(contracts.Username, name)).toBe(true)
  })

  test.each(['', 'a', '.ab', '-ab', 'a b', 'a@b', 'ä1', 'ab\n', 'a'.repeat(33)])('%p is not', (name) => {
    expect(Value.Check(contracts.Username, name)).toBe(false)
  })
})

describe('a moment', () => {
  test.each([
    '2026-02-28T23:59:59Z',
    '2024-02-29T00:00:00.000Z',
    '0001-01-01T00:00:00+14:00',
    '2026-01-01T00:00:00.123456Z',
  ])('%p is one', (text) => expect(Value.Check(contracts.Timestamp, text)).toBe(true))

  test.each([
    '2026-02-30T00:00:00Z',
    '2025-02-29T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-00-01T00:00:00Z',
    '2026-01-00T00:00:00Z',
    '2026-01-01T24:00:00Z',
    '2026-01-01T00:00:00',
    '2026-01-01 00:00:00Z',
    '2026-01-01',
    'Thu, 01 Jan 2026 00:00:00 GMT',
    '1767225600',
    '',
  ])('%p is none', (text) => expect(Value.Check(contracts.Timestamp, text)).toBe(false))
})
