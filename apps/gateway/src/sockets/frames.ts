import { type ClientFrame, clientFrames } from '@conntext/contracts'
import { faultsFrom } from '@conntext/http'
import { type InputFault, parseJson } from '@conntext/kernel'
import type { TSchema } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'

/**
 * Where the line is between a frame that breaks the protocol and an op that fails: a frame is a JSON object with an
 * `op` that exists, an `id` that is a number if there is one, and no field that its op doesn't have. Anything else is
 * malformed, and ends the connection. A frame whose values don't fit is answered with a problem when it has an `id`;
 * without one nobody could be told, so it is malformed too.
 */
export type ParsedFrame =
  | { kind: 'frame'; frame: ClientFrame }
  | { kind: 'invalid'; id: number; faults: InputFault[] }
  | { kind: 'malformed'; reason: string }

const ops = new Map(
  Object.entries(clientFrames).map(([op, schema]) => [
    op,
    { check: TypeCompiler.Compile(schema as TSchema), fields: new Set(Object.keys(schema.properties)) },
  ]),
)

const malformed = (reason: string): ParsedFrame => ({ kind: 'malformed', reason })

export function parseFrame(text: string): ParsedFrame {
  const value = parseObject(text)
  if (!value) return malformed('not a JSON object')
  const { op, id } = value
  const known = typeof op === 'string' ? ops.get(op) : undefined
  if (!known) return malformed('unknown op')
  if (id !== undefined && !(Number.isSafeInteger(id) && (id as number) >= 0)) return malformed('bad id')
  for (const field of Object.keys(value)) if (!known.fields.has(field)) return malformed('unknown field')
  const faults = known.check.Check(value) ? [] : faultsFrom(known.check.Errors(value))
  if (faults.length === 0) return { kind: 'frame', frame: value as ClientFrame }
  return id === undefined ? malformed('values that do not fit') : { kind: 'invalid', id: id as number, faults }
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value = parseJson(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}
