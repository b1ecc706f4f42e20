export type Schema = {
  $ref?: string
  type?: string | string[]
  const?: unknown
  enum?: unknown[]
  anyOf?: Schema[]
  not?: unknown
  properties?: Record<string, Schema>
  patternProperties?: Record<string, Schema>
  required?: string[]
  items?: Schema
  description?: string
}

/** The name of the component that a reference leads to. */
export const nameOf = (reference: string): string => reference.slice(reference.lastIndexOf('/') + 1)

const SCALARS: Record<string, string> = {
  string: 'string',
  integer: 'number',
  number: 'number',
  boolean: 'boolean',
  null: 'null',
}

/** A schema as a TypeScript type. @throws for what no schema of the document uses so far */
export function typeOf(schema: Schema, indent = ''): string {
  if (schema.$ref) return nameOf(schema.$ref)
  if (schema.not) return 'never'
  if ('const' in schema) return literal(schema.const)
  if (schema.enum) return schema.enum.map(literal).join(' | ')
  if (schema.anyOf) return [...new Set(schema.anyOf.map((part) => typeOf(part, indent)))].join(' | ')
  if (Array.isArray(schema.type)) return schema.type.map((type) => typeOf({ ...schema, type }, indent)).join(' | ')
  if (schema.type === 'array') return `Array<${typeOf(schema.items ?? {}, indent)}>`
  if (schema.type === 'object') return objectOf(schema, indent)
  const scalar = SCALARS[schema.type ?? '']
  if (!scalar) throw new Error(`no type for ${JSON.stringify(schema)}`)
  return scalar
}

const literal = (value: unknown): string =>
  typeof value === 'string' ? `'${value.replaceAll("'", "\\'")}'` : JSON.stringify(value)

function objectOf({ properties, patternProperties, required = [] }: Schema, indent: string): string {
  if (patternProperties) {
    const values = Object.values(patternProperties).map((value) => typeOf(value, indent))
    return `Record<string, ${values.join(' | ')}>`
  }
  const inner = `${indent}  `
  const lines = Object.entries(properties ?? {}).map(([name, value]) => {
    const comment = value.description ? `${inner}/** ${value.description.replaceAll('*/', '* /')} */\n` : ''
    return `${comment}${inner}${keyOf(name)}${required.includes(name) ? '' : '?'}: ${typeOf(value, inner)}\n`
  })
  return lines.length === 0 ? 'Record<string, never>' : `{\n${lines.join('')}${indent}}`
}

export const keyOf = (name: string): string => (/^[A-Za-z_]\w*$/.test(name) ? name : literal(name))
