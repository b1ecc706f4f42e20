import { fileURLToPath } from 'node:url'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'

export type Json = Record<string, unknown>
export type Schema = Json & {
  type?: string
  properties?: Record<string, Schema>
  required?: string[]
  items?: Schema
  anyOf?: Schema[]
  enum?: unknown[]
}
export type Parameter = { name: string; in: 'path' | 'query' | 'header'; required?: boolean; schema: Schema }
export type Documented = { types: string[]; check: ValidateFunction | undefined }

/** One operation of the OpenAPI document, with its references resolved as far as cases need them. */
export type Operation = {
  id: string
  method: string
  path: string
  /** A permission, `member`, `account`, `self` or `public`. */
  permission: string
  parameters: Parameter[]
  /** What it takes as JSON; undefined for one that takes no body, or another. */
  body: Schema | undefined
  checkBody: ValidateFunction | undefined
  responses: Map<number, Documented>
  /** What a good request is answered. */
  success: number
}

type Response = { $ref?: string; content?: Record<string, { schema?: Schema }> }
type Described = {
  operationId: string
  'x-permission': string
  parameters?: Parameter[]
  requestBody?: { content: Record<string, { schema: Schema }> }
  responses: Record<string, Response>
}
type Document = {
  paths: Record<string, Record<string, Described>>
  components: { schemas: Record<string, Schema>; responses: Record<string, Response> }
}

const FILE = fileURLToPath(new URL('../../openapi/conntext.json', import.meta.url))
const SCHEMAS = '#/components/schemas/'
const UPGRADE_REQUIRED = 426

export const document = (await Bun.file(FILE).json()) as Document

const ajv = new Ajv2020({ strict: false, allErrors: true })
formats.default(ajv)
for (const [name, schema] of Object.entries(document.components.schemas)) ajv.addSchema(local(schema), name)

/** References to components by their bare names, as they are registered. */
function local<T>(schema: T): T {
  return JSON.parse(JSON.stringify(schema).replaceAll(`"$ref":"${SCHEMAS}`, '"$ref":"')) as T
}

export const checkProblem = ajv.compile({ $ref: 'Problem' })

/** The schema that a reference stands for; any other as it is. */
export function resolve(schema: Schema): Schema {
  const { $ref } = schema
  return typeof $ref === 'string' ? document.components.schemas[$ref.slice(SCHEMAS.length)]! : schema
}

const compiled = new Map<string, ValidateFunction>()

/** Compiled once, however many cases ask: it takes milliseconds. */
export function compile(schema: Schema): ValidateFunction {
  const text = JSON.stringify(schema)
  const check = compiled.get(text) ?? ajv.compile(local(schema))
  compiled.set(text, check)
  return check
}

function documented(response: Response): Documented {
  const name = response.$ref?.split('/').at(-1)
  const { content = {} } = name === undefined ? response : document.components.responses[name]!
  const schema = Object.entries(content).find(([type]) => /[/+]json$/.test(type))?.[1].schema
  return { types: Object.keys(content), check: schema && compile(schema) }
}

function read(path: string, method: string, described: Described): Operation {
  const responses = new Map(
    Object.entries(described.responses).map(([status, response]) => [Number(status), documented(response)]),
  )
  const body = described.requestBody?.content['application/json']?.schema
  return {
    id: described.operationId,
    method: method.toUpperCase(),
    path,
    permission: described['x-permission'],
    parameters: described.parameters ?? [],
    body: body && resolve(body),
    checkBody: body && compile(body),
    responses,
    success: [...responses.keys()].find((status) => status >= 200 && status < 400) ?? UPGRADE_REQUIRED,
  }
}

export const operations: Operation[] = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, described]) => read(path, method, described)),
)
