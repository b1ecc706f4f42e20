import { compile, type Parameter } from '../document.ts'
import { urlOf } from '../send.ts'
import type { Case, Subject } from './case.ts'

const VALUES = ['', '0', '-1', '101', '1.5', '1e1', 'abc', 'null', '１０', '9'.repeat(40), '🦄', 'a'.repeat(600), ' 10']
const TIMES = ['0000-01-01T00:00:00Z', '9999-12-31T23:59:59Z', '2026-02-30T00:00:00Z', '2026-01-01', '1767225600']
const CURSORS = ['garbage', 'e30', 'bnVsbA', 'W10', '%25', '../../etc/passwd', 'eyJhIjoxfQ==']

// Nothing is read of the request of a WebSocket's address but that it is none; and what a provider sends a browser back
// with is the provider's to choose.
const refusals: Record<string, Case['expect']> = { gateway: [422, 426], completeOidcLogin: 'documented' }

/** Query parameters that an operation doesn't take, or not so. */
export function queryCases({ operation, good }: Subject): Case[] {
  const known = operation.parameters.filter((one) => one.in === 'query')
  const base = typeof good.query === 'string' ? {} : good.query
  const raw = (name: string, query: string, expect: Case['expect']): Case => ({
    name,
    expect,
    change: () => ({ query }),
  })
  const search = (more: string) => urlOf('', { path: {}, query: base }).slice(1).concat('&', more).replace(/^&/, '')
  const refused = refusals[operation.id] ?? 422
  return [
    ...['unknown=1', '__proto__=1', 'constructor=1', 'Limit=1', 'limit[]=1', '=1'].map((query) =>
      raw(`?${query}`, search(query), refused),
    ),
    ...['limit=%zz', 'x=%ff', 'x=%00', 'x=%c0%80'].map((query) => raw(`?${query}`, search(query), 400)),
    raw('an address of 9 KB', search(`x=${'a'.repeat(9000)}`), 413),
    ...known.flatMap((parameter) => valueCases(parameter, base)),
    ...known.map(({ name }) => raw(`?${name} twice`, `${name}=1&${name}=2`, 422)),
  ]
}

function valueCases({ name, schema }: Parameter, base: Record<string, string>): Case[] {
  const check = compile(schema)
  const values = [...VALUES, ...(schema.format === 'date-time' ? TIMES : [])]
  const one = (value: string, expect: Case['expect']): Case => ({
    name: `?${name}=${value.slice(0, 40)}`,
    expect,
    change: () => ({ query: { ...base, [name]: value } }),
  })
  return [
    ...values.map((value) => one(value, check(value) ? 'documented' : 422)),
    ...(name === 'cursor' ? CURSORS.map((value) => one(value, 422)) : []),
  ]
}
