import { readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'
import { type Static, type TObject, type TProperties, type TSchema, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

/** How much is logged. */
export const LogLevelSetting = Type.Union(
  (['silent', 'error', 'warn', 'info', 'debug'] as const).map((level) => Type.Literal(level)),
  { default: 'warn', expects: 'silent, error, warn, info or debug' },
)

export type Environment = Record<string, string | undefined>

/** What keeps ConnText from starting and is for its operator to mend: the message says all, a stack would say nothing. */
export class StartError extends Error {
  override name = 'StartError'
}

/** A database that a newer release has changed already: nobody knows what an older one would do to it. */
export class SchemaAhead extends StartError {
  override name = 'SchemaAhead'

  constructor(database: string) {
    super(
      `The database ${database} is of a newer release than this one: start that release again, or restore a backup that was made before the upgrade`,
    )
  }
}

export type ConfigFault = { setting: string; message: string }

/** All faults of a configuration at once. Names settings, never their values. */
export class ConfigError extends StartError {
  override name = 'ConfigError'

  constructor(readonly faults: ConfigFault[]) {
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

/** What must hold between settings, beyond what each of them says by itself. Gets them as they were given. */
export type ConfigRule = (env: Environment) => ConfigFault[]

/** Settings that are needed where another one is set. */
export const neededWith =
  (setting: string, needed: string[]): ConfigRule =>
  (env) =>
    env[setting]
      ? needed
          .filter((name) => !env[name])
          .map((name) => ({ setting: name, message: `is required where ${setting} is set` }))
      : []

/**
 * Reads settings from the environment: one schema, defaults filled in, text converted to the declared type. An empty
 * variable counts as absent. `NAME_FILE` names a file that holds the value of `NAME`, without white space at its end. A
 * property's `expects` says in words what it takes.
 * @throws ConfigError with every fault, before anything has started.
 */
export function parseConfig<P extends TProperties>(
  schema: TObject<P>,
  environment: Environment,
  rules: ConfigRule[] = [],
): Readonly<Static<TObject<P>>> {
  const properties = Object.entries(schema.properties as Record<string, TSchema>)
  const { env, faults } = withFiles(
    properties.map(([key]) => key),
    environment,
  )
  const unread = new Set(faults.map(({ setting }) => setting.slice(0, -FILE.length)))
  const given = Object.fromEntries(
    properties.flatMap(([key, property]) => (env[key] ? [[key, convert(property, env[key])]] : [])),
  )
  const value = Value.Default(schema, given) as Record<string, unknown>
  const faulty = new Set([...Value.Errors(schema, value)].map((e) => e.path.split('/')[1] ?? ''))
  for (const [setting, property] of properties) {
    if (!faulty.has(setting) || unread.has(setting)) continue
    faults.push({ setting, message: explain(property, value[setting] === undefined) })
  }
  for (const rule of rules) {
    const more = rule(env).filter(({ setting }) => !unread.has(setting))
    faults.push(...more.filter(({ setting }) => !faults.some((known) => known.setting === setting)))
  }
  if (faults.length > 0) throw new ConfigError(faults)
  return Object.freeze(value as Static<TObject<P>>)
}

const FILE = '_FILE'

/** The environment with the values that stand in files. */
function withFiles(names: string[], environment: Environment): { env: Environment; faults: ConfigFault[] } {
  const env = { ...environment }
  const faults: ConfigFault[] = []
  for (const name of names) {
    const setting = `${name}${FILE}`
    const path = environment[setting]
    if (!path) continue
    if (environment[name]) {
      faults.push({ setting, message: `is set, and so is ${name}: one of the two is wanted` })
      continue
    }
    try {
      env[name] = readFileSync(path, 'utf8').trimEnd()
      if (env[name] === '') faults.push({ setting, message: 'names a file that is empty' })
    } catch (error) {
      faults.push({ setting, message: unreadable(error) })
    }
  }
  return { env, faults }
}

function unreadable(error: unknown): string {
  const code = String((error as { code?: unknown }).code)
  return code === 'ENOENT' ? 'names a file that is not there' : `names a file that can't be read (${code})`
}

/**
 * The environment, and below it what stands in the file that `CONNTEXT_CONFIG` names (`NAME=value` lines).
 * @throws ConfigError where it can't be read
 */
export function readEnvironment(environment: Environment): Environment {
  const path = environment.CONNTEXT_CONFIG
  if (!path) return environment
  try {
    return { ...parseEnv(readFileSync(path, 'utf8')), ...environment }
  } catch (error) {
    throw new ConfigError([{ setting: 'CONNTEXT_CONFIG', message: unreadable(error) }])
  }
}

// Those of the launcher, of the operator's command and of the test runs.
const OTHERS = /^CONNTEXT_(CONFIG|LIFELINE|TOKEN|TEST_\w+)$/

/** Variables that look like settings and are none of `known`: misspelt, most likely. */
export const unknownSettings = (known: Record<string, unknown>, env: Environment): string[] =>
  Object.keys(env).filter(
    (name) =>
      name.startsWith('CONNTEXT_') &&
      !OTHERS.test(name) &&
      !Object.hasOwn(known, name) &&
      !(name.endsWith(FILE) && Object.hasOwn(known, name.slice(0, -FILE.length))),
  )

/** The parts of a setting that takes several, separated by commas. */
export const listOf = (text: string | undefined): string[] => text?.split(',').map((one) => one.trim()) ?? []
