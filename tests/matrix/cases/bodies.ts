import { compile, type Json, resolve, type Schema } from '../document.ts'
import { type Answer, type Ask, Raw } from '../send.ts'
import type { Case, Subject } from './case.ts'

const ANYTHING = [null, true, false, 0, -1, 1.5, 1e308, '', 'text', [], ['text'], [null], {}, { a: 1 }]
const STRANGE_TEXTS: Record<string, string> = {
  'a NUL': 'a\0b',
  'half a surrogate': 'a\ud800b',
  'control characters': 'a\x1b[31m\x07b',
  'a noncharacter': 'a\uffffb',
  'right to left': '\u202eabc',
  'a combining crowd': `a${'\u0301'.repeat(40)}`,
  'only spaces': ' \u3000 ',
  'a character without ink': '\u2800',
}
const STRANGE_NUMBERS = ['1e400', '-1e400', '9007199254740993', '1e-400', '-0', '0x10', '1_000', '.5', '01']

/** Bodies of the right form with wrong contents: every property in turn, at every depth. */
export function bodyCases(subject: Subject): Case[] {
  const { operation, good } = subject
  const { body: schema, checkBody } = operation
  if (!schema || !checkBody) return []
  const json = good.body as Json
  const whole = (name: string, value: unknown): Case => ({
    name: `the body is ${name}`,
    expect: checkBody(value) ? 'documented' : 422,
    change: () => ({ body: value }),
  })
  return [
    ...[null, [], 'text', 1, true, [json]].map((value) => whole(JSON.stringify(value).slice(0, 30), value)),
    ...inside(schema, json, []).flatMap(({ object, path }) => [
      ...objectCases(object, path, checkBody, json),
      ...Object.entries(object.properties ?? {}).flatMap(([name, property]) =>
        propertyCases(resolve(property), [...path, name], { check: checkBody, json }),
      ),
    ]),
  ]
}

type Path = string[]
type Check = (value: unknown) => unknown

/** The body's own object, and those within it. */
function inside(schema: Schema, json: Json, path: Path): { object: Schema; path: Path }[] {
  const object = resolve(schema)
  const deeper = Object.entries(object.properties ?? {}).flatMap(([name, property]) => {
    const value = json[name]
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? inside(property, value as Json, [...path, name]) : []
  })
  return [{ object, path }, ...deeper]
}

function objectCases(object: Schema, path: Path, check: Check, json: Json): Case[] {
  const at = `/${path.join('/')}`
  const one = (name: string, alter: (body: Json) => Json): Case => ({
    name: `${at} ${name}`,
    expect: check(alter(json)) ? 'documented' : 422,
    change: (ask) => ({ body: alter(ask.body as Json) }),
  })
  return [
    ...Object.keys(object.properties ?? {}).map((name) =>
      one(`lacks ${name}`, (body) => without(body, [...path, name])),
    ),
    ...['unknown', 'id', 'isOwner', 'constructor', 'toString', ''].map((name) =>
      one(`has ${name || 'a nameless field'}`, (body) => put(body, [...path, name], 1)),
    ),
    {
      name: `${at} has __proto__`,
      expect: object.additionalProperties === false ? 422 : 'documented',
      change: () => marked(json, [...path, MARK], '"__proto__":{"isOwner":true}', true),
    },
  ]
}

function propertyCases(schema: Schema, path: Path, { check, json }: { check: Check; json: Json }): Case[] {
  const at = `/${path.join('/')}`
  const values = [...ANYTHING, ...edges(schema)]
  const typed = values.map((value): Case => {
    const body = put(json, path, value)
    return {
      name: `${at} = ${JSON.stringify(value).slice(0, 40)}`,
      expect: check(body) ? 'documented' : 422,
      change: (ask) => ({ body: put(ask.body as Json, path, value) }),
    }
  })
  return [...typed, ...(takes(schema, 'string') ? texts(path, check, json) : []), ...numbers(schema, path, json)]
}

/** Just outside of what a schema allows. */
function edges(schema: Schema): unknown[] {
  const parts = [schema, ...(schema.anyOf ?? []).map(resolve)] as Record<string, number | undefined>[]
  return parts.flatMap(({ maxLength, maximum, minimum, maxItems }) => [
    ...(maxLength === undefined ? [] : ['x'.repeat(maxLength + 1)]),
    ...(maximum === undefined ? [] : [maximum + 1, maximum + 0.5]),
    ...(minimum === undefined ? [] : [minimum - 1]),
    ...(maxItems === undefined ? [] : [Array(maxItems + 1).fill('x'), Array(50_000).fill('message.pin')]),
    'x'.repeat(100_000),
  ])
}

const takes = (schema: Schema, type: string): boolean =>
  schema.type === type || (schema.anyOf ?? []).some((part) => takes(resolve(part), type))

/** What is taken comes back as it was sent, if only in Unicode's normal form; what can't be kept is refused. */
function texts(path: Path, check: Check, json: Json): Case[] {
  return Object.entries(STRANGE_TEXTS).map(([name, text]) => ({
    name: `/${path.join('/')} holds ${name}`,
    expect: check(put(json, path, text)) ? 'documented' : 422,
    change: (ask: Ask) => ({ body: put(ask.body as Json, path, text) }),
    also: (answer: Answer) => {
      if (answer.status >= 300 || answer.text === '' || path.length > 1) return []
      const kept = (JSON.parse(answer.text) as Json)[path[0]!]
      return kept === undefined || [text, text.normalize('NFC')].includes(kept as string)
        ? []
        : [`keeps ${JSON.stringify(kept)} instead`]
    },
  }))
}

function numbers(schema: Schema, path: Path, json: Json): Case[] {
  if (!takes(schema, 'integer') && !takes(schema, 'number')) return []
  return STRANGE_NUMBERS.map((text) => ({
    name: `/${path.join('/')} = ${text}`,
    expect: isNumber(text) && compile(schema)(JSON.parse(text)) ? 'documented' : isNumber(text) ? 422 : 400,
    change: () => marked(json, path, text),
  }))
}

function isNumber(text: string): boolean {
  try {
    return typeof JSON.parse(text) === 'number'
  } catch {
    return false
  }
}

const MARK = '\u0001mark'

/** The body as JSON text with something at `path` that `JSON.stringify` would not write. */
function marked(json: Json, path: Path, text: string, whole = false): Partial<Ask> {
  const plain = JSON.stringify(put(json, path, MARK))
  const mark = JSON.stringify(MARK)
  const body = new Raw(plain.replace(whole ? `${mark}:${mark}` : mark, text))
  return { body, headers: { 'content-type': 'application/json' } }
}

function put(json: Json, [name = '', ...rest]: Path, value: unknown): Json {
  const inner = rest.length === 0 ? value : put((json[name] ?? {}) as Json, rest, value)
  return { ...json, [name]: inner }
}

function without(json: Json, [name = '', ...rest]: Path): Json {
  if (rest.length > 0) return { ...json, [name]: without((json[name] ?? {}) as Json, rest) }
  const { [name]: _, ...others } = json
  return others
}
