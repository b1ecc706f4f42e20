import type { PortOf, PortTable } from '@conntext/contracts'
import { type Logger, newId } from '@conntext/kernel'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { toAppError } from './app.ts'
import { requestErrors } from './errors.ts'
import { faultsFrom } from './faults.ts'
import { toProblem } from './problem.ts'

/** Calls an operation by its name; answers what it answers or, where that is not `ok`, a problem document. */
export type DirectCalls = (operation: string, input: unknown) => Promise<{ ok: boolean; output: unknown }>

/**
 * A port for whoever has it in the same process: the same checks, problems and log lines as over HTTP, and no object
 * that both ends hold. What is left out is the text in between.
 */
export function directCalls<P extends PortTable>(table: P, implementation: PortOf<P>, log: Logger): DirectCalls {
  const requests = new Map(
    Object.entries(table.operations).map(([name, { request }]) => [name, TypeCompiler.Compile(request)]),
  )
  const operations = implementation as Record<string, (request: unknown) => Promise<unknown>>
  const run = async (name: string, input: unknown) => {
    const expected = requests.get(name)
    if (!expected) throw requestErrors.noSuchRoute()
    const request = copyOf(input)
    if (!expected.Check(request)) throw requestErrors.invalid({ errors: faultsFrom(expected.Errors(request), '/body') })
    return copyOf(await operations[name]!(request))
  }
  return (name, input) =>
    run(name, input).then(
      (output) => ({ ok: true, output }),
      (error: unknown) => {
        const requestId = newId()
        const about = { requestId, method: 'POST', path: `/internal/${table.service}/${name}` }
        return { ok: false, output: toProblem(toAppError('UNKNOWN', error, log, about), requestId) }
      },
    )
}

/** What would be read on the other end, had it been sent as JSON. */
export function copyOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return isFinal(value) ? value : null
  if (Array.isArray(value)) return value.map((one) => (isAbsent(one) ? null : copyOf(one)))
  if ('toJSON' in value && typeof value.toJSON === 'function') return copyOf(value.toJSON())
  const copy: Record<string, unknown> = {}
  for (const key of Object.keys(value)) {
    const one = (value as Record<string, unknown>)[key]
    if (isAbsent(one)) continue
    // As a field like any other, where assigning would set the prototype.
    if (key === '__proto__') Object.defineProperty(copy, key, { ...FIELD, value: copyOf(one) })
    else copy[key] = copyOf(one)
  }
  return copy
}

const FIELD = { enumerable: true, configurable: true, writable: true }
const isAbsent = (value: unknown): boolean =>
  value === undefined || typeof value === 'function' || typeof value === 'symbol'
const isFinal = (value: unknown): boolean => typeof value !== 'number' || Number.isFinite(value)
