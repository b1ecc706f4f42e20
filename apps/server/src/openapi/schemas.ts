type Json = Record<string, unknown>

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Where a schema object holds other schemas by name, and a `title` is a property's name, not a schema's. */
const MAPS = new Set(['properties', 'patternProperties'])

/**
 * Puts every object with a title under `components`, once, and refers to it elsewhere, so that generated clients have
 * types with the contract's names. Alternatives of literals become an `enum`, where they stand.
 */
export class Components {
  readonly schemas: Record<string, Json> = {}

  /** The schema with its titled parts replaced by references; a reference itself if it has a title. */
  refer(schema: Json): Json {
    const { title, ...rest } = schema
    if (typeof title === 'string' && isNullable(rest)) {
      return { anyOf: [this.refer({ ...rest, title, type: 'object' }), { type: 'null' }] }
    }
    const body = withNull(this.#parts(asEnum(rest)))
    if (typeof title !== 'string' || body.enum) return body
    const known = this.schemas[title]
    if (known && JSON.stringify(known) !== JSON.stringify(body)) {
      throw new Error(`two different schemas are called ${title}`)
    }
    this.schemas[title] = body
    return { $ref: `#/components/schemas/${title}` }
  }

  #parts(schema: Json): Json {
    return Object.fromEntries(
      Object.entries(schema).map(([key, value]) => {
        if (MAPS.has(key) && isObject(value)) {
          return [key, Object.fromEntries(Object.entries(value).map(([name, part]) => [name, this.#value(part)]))]
        }
        return [key, this.#value(value)]
      }),
    )
  }

  #value(value: unknown): unknown {
    if (Array.isArray(value)) return value.map((part) => this.#value(part))
    return isObject(value) ? this.refer(value) : value
  }
}

/** As Elysia writes "this object or null": which of the two it is depends on the place, not on what it is called. */
const isNullable = ({ type }: Json): boolean =>
  Array.isArray(type) && type.length === 2 && type.includes('object') && type.includes('null')

/** Elysia leaves null out of the words of "one of these words or null", which would allow none. */
function withNull(schema: Json): Json {
  const { type, enum: words } = schema
  if (!Array.isArray(type) || !type.includes('null') || !Array.isArray(words) || words.includes(null)) return schema
  return { ...schema, enum: [...words, null] }
}

function asEnum(schema: Json): Json {
  const { anyOf, ...rest } = schema
  if (!Array.isArray(anyOf) || !anyOf.every((part) => isObject(part) && typeof part.const === 'string')) return schema
  return { ...rest, type: 'string', enum: anyOf.map((part) => (part as Json).const) }
}
