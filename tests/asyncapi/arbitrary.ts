import fc, { type Arbitrary } from 'fast-check'
import { type Json, type Schema, schemas } from './document.ts'

const HEX = '0123456789abcdef'
const uuid = fc.string({ unit: fc.constantFrom(...HEX), minLength: 32, maxLength: 32 }).map((hex) => {
  const parts = [hex.slice(0, 8), hex.slice(8, 12), `7${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20)]
  return parts.join('-')
})
const LONGEST = 40

/** Values that fit a schema of the document. */
export function fitting(schema: Schema): Arbitrary<unknown> {
  if (schema.$ref) return fitting(schemas[schema.$ref.slice(schema.$ref.lastIndexOf('/') + 1)]!)
  if ('const' in schema) return fc.constant(schema.const)
  if (schema.enum) return fc.constantFrom(...(schema.enum as unknown[]))
  if (schema.anyOf) return fc.oneof(...(schema.anyOf as Schema[]).map(fitting))
  if (schema.type === 'object') return objects(schema)
  if (schema.type === 'array') return arrays(schema)
  return scalars(schema)
}

function objects({ properties, patternProperties, required = [] }: Schema): Arbitrary<unknown> {
  if (patternProperties) {
    const [value] = Object.values(patternProperties as Record<string, Schema>)
    const pattern = new RegExp(Object.keys(patternProperties as object)[0]!)
    const name = fc.oneof(fc.string({ maxLength: LONGEST }), fc.stringMatching(pattern, { size: 'small' }))
    const fits = name.filter((key) => key !== '__proto__' && pattern.test(key))
    return fc.dictionary(fits, fitting(value!), { maxKeys: 10, noNullPrototype: true })
  }
  const parts = Object.entries(properties ?? {}).map(([name, part]) => [name, fitting(part)])
  return fc.record(Object.fromEntries(parts), { requiredKeys: required as never[], noNullPrototype: true })
}

const arrays = ({ items, minItems, maxItems = 5, uniqueItems }: Schema): Arbitrary<unknown> => {
  const bounds = { minLength: (minItems as number | undefined) ?? 0, maxLength: Math.min(maxItems as number, 5) }
  return uniqueItems ? fc.uniqueArray(fitting(items as Schema), bounds) : fc.array(fitting(items as Schema), bounds)
}

function scalars({ type, format, pattern, minLength = 0, maxLength, minimum, maximum }: Schema): Arbitrary<unknown> {
  if (format === 'uuid') return uuid
  if (format === 'date-time')
    return fc
      .date({ noInvalidDate: true, min: new Date(0), max: new Date('9999-12-31T00:00:00Z') })
      .map((date) => date.toISOString())
  if (pattern) return fc.stringMatching(new RegExp(pattern as string), { size: 'small' })
  if (type === 'string') {
    const longest = Math.min(LONGEST, (maxLength as number | undefined) ?? LONGEST)
    // A character may be several units long, by which validators count.
    return fc
      .string({ unit: 'grapheme', minLength: minLength as number, maxLength: longest })
      .filter((value) => value.length <= longest)
  }
  if (type === 'integer') {
    return fc.integer({ min: (minimum as number | undefined) ?? 0, max: (maximum as number | undefined) ?? 1_000_000 })
  }
  if (type === 'number') {
    const bounds = { min: (minimum as number | undefined) ?? 0, max: (maximum as number | undefined) ?? 1_000_000 }
    // As JSON has them, which knows no negative zero.
    return fc.double({ ...bounds, noNaN: true }).map((value) => value + 0)
  }
  if (type === 'boolean') return fc.boolean()
  if (type === 'null') return fc.constant(null)
  throw new Error(`no values for ${JSON.stringify({ type, format })}`)
}

type Change = (frame: Json, at: string, junk: unknown) => Json
const CHANGES: Change[] = [
  (frame, at) => Object.fromEntries(Object.entries(frame).filter(([name]) => name !== at)),
  (frame, at, junk) => ({ ...frame, [at]: junk }),
  (frame, _, junk) => ({ ...frame, novelty: junk }),
  (frame, at) => ({ ...frame, [at]: [frame[at]] }),
  (frame, at) => ({ ...frame, [at]: { value: frame[at] } }),
  (frame, at) => ({ ...frame, [at]: `${String(frame[at])}${'x'.repeat(70_000)}` }),
]

/** Frames that differ in one place from one that fits; the place is never the `op`, which would make it another's. */
export const mutated = (schema: Schema): Arbitrary<Json> =>
  fc
    .tuple(fitting(schema), fc.constantFrom(...CHANGES), fc.nat(), fc.jsonValue({ maxDepth: 1 }))
    .map(([frame, change, index, junk]) => {
      const names = Object.keys(schema.properties ?? {}).filter((name) => name !== 'op')
      const changed = change(frame as Json, names[index % names.length]!, junk)
      // As it arrives: what is undefined isn't there.
      return JSON.parse(JSON.stringify(changed)) as Json
    })
