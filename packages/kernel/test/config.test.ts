import { describe, expect, test } from 'bun:test'
import { Type } from '@sinclair/typebox'
import { ConfigError, type Environment, parseConfig } from '../src/index.ts'

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
