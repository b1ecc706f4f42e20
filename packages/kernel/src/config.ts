import type { Static, TObject, TProperties, TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

export type Environment = Record<string, string | undefined>

/** What keeps ConnText from starting and is for its operator to mend: the message says all, a stack would say nothing. */
export class StartError extends Error {
  override name = 'StartError'
}

/** All faults of a configuration at once. Names settings, never their values. */
export class ConfigError extends StartError {
  override name = 'ConfigError'

  constructor(readonly faults: { setting: string; message: string }[]) {
    super(`Bad configuration\n${faults.map((f) => `  ${f.setting}: ${f.message}`).join('\n')}`)
  }
}

/** What to tell about a setting that does not fit: its own words where the schema has them. */
function explain(schema: TSchema, missing: boolean): string {
  if (missing) return 'is required'
  if (typeof schema.expects === 'string') return `expected ${schema.expects}`
  if (schema.type === 'integer' || schema.type === 'number') {
    const { minimum = '-∞', maximum = '∞' } = schema
    return `expected a ${schema.type === 'integer' ? 'whole number' : 'number'} from ${minimum} to ${maximum}`
  }
  if (schema.type === 'boolean') return 'expected true or false'
  return 'is not valid'
}

// Numbers only as people write them: a lenient reader makes 12 of 12.5 and 1 of 1e3.
const NUMBER_TEXT = { integer: /^[+-]?\d+$/, number: /^[+-]?(\d+\.?\d*|\.\d+)$/ }

function convert(schema: TSchema, text: string): unknown {
  if (schema.type !== 'integer' && schema.type !== 'number') return Value.Convert(schema, text)
  return NUMBER_TEXT[schema.type as keyof typeof NUMBER_TEXT].test(text) ? Number(text) : text
}

/**
 * Reads settings from the environment: one schema, defaults filled in, text converted to the declared type.
 * An empty variable counts as absent. A property's `expects` says in words what it takes.
 * @throws ConfigError with every fault, before anything has started.
 */
export function parseConfig<P extends TProperties>(schema: TObject<P>, env: Environment): Readonly<Static<TObject<P>>> {
  const properties = Object.entries(schema.properties as Record<string, TSchema>)
  const given = Object.fromEntries(
    properties.flatMap(([key, property]) => (env[key] ? [[key, convert(property, env[key])]] : [])),
  )
  const value = Value.Default(schema, given) as Record<string, unknown>
  const faulty = new Set([...Value.Errors(schema, value)].map((e) => e.path.split('/')[1] ?? ''))
  if (faulty.size > 0) {
    throw new ConfigError(
      properties
        .filter(([setting]) => faulty.has(setting))
        .map(([setting, property]) => ({ setting, message: explain(property, value[setting] === undefined) })),
    )
  }
  return Object.freeze(value as Static<TObject<P>>)
}
