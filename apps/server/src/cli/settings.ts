import type { Environment } from '@conntext/kernel'
import { readEnvironment } from '@conntext/kernel'
import type { TSchema } from '@sinclair/typebox'
import { loadConfig, Settings } from '../config.ts'

const SECRET = /(PASSWORD|CREDENTIAL|ACCESS_KEY|SECRET_KEY|MASTER_KEY|SETUP_CODE)$/
const HIDDEN = '(hidden)'

/**
 * Every setting as it is in force, one a line, as a file for `CONNTEXT_CONFIG` has them; secrets are hidden, and what
 * isn't set stands behind a `#`, with its default.
 * @throws ConfigError where the server would not start with them
 */
export function printSettings(environment: Environment): string[] {
  const { unknown } = loadConfig(environment)
  const given = readEnvironment(environment)
  const lines = Object.entries(Settings.properties as Record<string, TSchema>).map(([name, schema]) => {
    const file = given[`${name}_FILE`]
    if (file) return `${name}_FILE=${file}`
    const value = given[name]
    return value ? `${name}=${quote(shown(name, value))}` : `# ${name}=${quote(String(schema.default ?? ''))}`
  })
  return [...lines, ...unknown.map((name) => `# ${name} is not a setting of ConnText; it does nothing`)]
}

function shown(name: string, value: string): string {
  if (SECRET.test(name)) return HIDDEN
  if (!URL.canParse(value)) return value
  const url = new URL(value)
  const { username, password, search } = url
  if (username === '' && password === '' && search === '') return value
  // Alone, a name may be a key.
  if (password === '') url.username = ''
  url.password = ''
  url.search = ''
  return `${url.href} ${HIDDEN}`
}

const quote = (text: string): string => (/^[^\s#'"`]*$/.test(text) ? text : JSON.stringify(text))
