import { afterAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import {
  ConfigError,
  type Environment,
  neededWith,
  parseConfig,
  readEnvironment,
  unknownSettings,
} from '../src/index.ts'

const Schema = Type.Object({
  PORT: Type.Integer({ minimum: 1, maximum: 65_535, default: 8080 }),
  RATIO: Type.Number({ minimum: 0, maximum: 1, default: 0.5 }),
  SECURE: Type.Boolean({ default: false }),
  LEVEL: Type.Union([Type.Literal('info'), Type.Literal('debug')], { default: 'info', expects: 'info or debug' }),
  SECRET: Type.String({ minLength: 8 }),
  NOTE: Type.Optional(Type.String()),
})
const valid = { SECRET: 'long enough' }
const parse = (env: Environment = {}) => parseConfig(Schema, { ...valid, ...env })

function faults(env: Environment) {
  try {
    parseConfig(Schema, env)
  } catch (error) {
    if (error instanceof ConfigError) return error
  }
  throw new Error('expected a ConfigError')
}

test('defaults stand in for what is absent, and an empty variable is absent', () => {
  const expected = { PORT: 8080, RATIO: 0.5, SECURE: false, LEVEL: 'info', SECRET: 'long enough' } as const
  expect(parse()).toEqual(expected)
  expect(parse({ PORT: '', SECURE: '', NOTE: undefined })).toEqual(expected)
})

test('text becomes the declared type', () => {
  expect(parse({ PORT: '9000', RATIO: '0.25', SECURE: 'true', LEVEL: 'debug', NOTE: '12' })).toEqual({
    PORT: 9000,
    RATIO: 0.25,
    SECURE: true,
    LEVEL: 'debug',
    SECRET: 'long enough',
    NOTE: '12',
  })
})

test('what the schema does not name is not taken over, and the result cannot be changed', () => {
  const config = parse({ OTHER: 'x' })
  expect(config).not.toHaveProperty('OTHER')
  expect(() => Object.assign(config, { PORT: 1 })).toThrow()
})

describe('a bad configuration', () => {
  test('names every fault at once, in words, and no value', () => {
    const { message, faults: list } = faults({ PORT: '70007', RATIO: 'hunter1', SECURE: 'perhaps', LEVEL: 'loud' })
    expect(message).toBe(
      [
        'Bad configuration',
        '  PORT: expected a whole number from 1 to 65535',
        '  RATIO: expected a number from 0 to 1',
        '  SECURE: expected true or false',
        '  LEVEL: expected info or debug',
        '  SECRET: is required',
      ].join('\n'),
    )
    expect(list.map((fault) => fault.setting)).toEqual(['PORT', 'RATIO', 'SECURE', 'LEVEL', 'SECRET'])
    for (const value of ['70007', 'hunter1', 'perhaps', 'loud']) expect(message).not.toContain(value)
  })

  test('does not tell a secret that is too short', () => {
    expect(faults({ SECRET: 'hunter2' }).message).toBe('Bad configuration\n  SECRET: is not valid')
  })

  // Whoever writes these means something else than what a lenient reader would make of them.
  test.each(['12.5', '1e3', '0x10', '8080abc', ' ', '1_000', 'Infinity', 'NaN', '--1'])(
    '%p is no whole number',
    (PORT) => {
      expect(faults({ ...valid, PORT }).faults).toHaveLength(1)
    },
  )

  test.each(['Infinity', 'NaN', '0x1', '1e-1x', ''.padEnd(2)])('%p is no number', (RATIO) => {
    expect(faults({ ...valid, RATIO }).faults).toHaveLength(1)
  })

  test.each(['yes', 'on', '2', 'TRUEISH'])('%p is neither true nor false', (SECURE) => {
    expect(faults({ ...valid, SECURE }).faults).toHaveLength(1)
  })
})

describe('a setting in a file', () => {
  const directory = mkdtempSync(join(tmpdir(), 'conntext-config-'))
  afterAll(() => rmSync(directory, { recursive: true }))
  const file = (name: string, text: string) => {
    const path = join(directory, name)
    writeFileSync(path, text)
    return path
  }

  test('has its value without the white space at the end, converted like any other', () => {
    const env = { SECRET_FILE: file('secret', '  two words\nand a line \r\n\n'), PORT_FILE: file('port', '9000\n') }
    expect(parseConfig(Schema, env)).toMatchObject({ SECRET: '  two words\nand a line', PORT: 9000 })
  })

  test('goes before the default, and an empty path or variable is absent', () => {
    expect(parse({ NOTE_FILE: file('note', 'from the file'), NOTE: '' }).NOTE).toBe('from the file')
    expect(parse({ PORT_FILE: '' }).PORT).toBe(8080)
  })

  test('names what is wrong with it, beside all other faults, and no value', () => {
    const { message } = faults({
      SECRET_FILE: join(directory, 'none'),
      PORT_FILE: directory,
      RATIO_FILE: file('ratio', '0.5'),
      RATIO: '0.6',
      NOTE_FILE: file('empty', '\n'),
      LEVEL_FILE: file('level', 'loud'),
      SECURE: 'perhaps',
    })
    expect(message).toBe(
      [
        'Bad configuration',
        "  PORT_FILE: names a file that can't be read (EISDIR)",
        '  RATIO_FILE: is set, and so is RATIO: one of the two is wanted',
        '  SECRET_FILE: names a file that is not there',
        '  NOTE_FILE: names a file that is empty',
        '  SECURE: expected true or false',
        '  LEVEL: expected info or debug',
      ].join('\n'),
    )
    expect(message).not.toContain(directory)
  })
})

test('what must hold between settings is told with the other faults, once each', () => {
  const rules = [neededWith('NOTE', ['SECRET']), neededWith('NOTE', ['LEVEL'])]
  const found = (env: Environment) => {
    try {
      parseConfig(Schema, env, rules)
      return undefined
    } catch (error) {
      return (error as ConfigError).message.split('\n').slice(1)
    }
  }
  expect(found({ ...valid })).toBeUndefined()
  expect(found({ NOTE: 'x', PORT: 'x' })).toEqual([
    '  PORT: expected a whole number from 1 to 65535',
    '  SECRET: is required',
    '  LEVEL: is required where NOTE is set',
  ])
})

test('a variable that looks like a setting and is none is found, be it for a file', () => {
  const known = { CONNTEXT_PORT: 1 }
  const env = { CONNTEXT_PORT: '1', CONNTEXT_PORT_FILE: '', CONNTEXT_PROT: '', CONNTEXT_PROT_FILE: '', PATH: '' }
  expect(unknownSettings(known, env)).toEqual(['CONNTEXT_PROT', 'CONNTEXT_PROT_FILE'])
})

test('without a file of settings the environment is all there is', () => {
  expect(readEnvironment({ A: '1', CONNTEXT_CONFIG: '' })).toEqual({ A: '1', CONNTEXT_CONFIG: '' })
  expect(() => readEnvironment({ CONNTEXT_CONFIG: '/nowhere/at/all' })).toThrow(
    /CONNTEXT_CONFIG: names a file that is not/,
  )
})
