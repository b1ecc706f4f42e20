import { Problem } from '@conntext/contracts'
import { bodyMayBeMissing, REFUSALS } from '@conntext/http'
import { toOpenAPISchema } from '@elysiajs/openapi/openapi'
import { Components } from './schemas.ts'

type Json = Record<string, unknown>
type Operation = Json & {
  operationId?: string
  parameters?: { name: string; in: string; schema: Json }[]
  requestBody?: { required?: boolean; content: Record<string, { schema: Json }> }
  responses: Record<string, Json & { content?: Record<string, { schema: Json }> }>
  security?: unknown[]
}
type Body = Record<string, { schema: Json }>
export type App = Parameters<typeof toOpenAPISchema>[0]

const PROBLEMS: Record<string, string> = {
  BadRequest: 'The request could not be read',
  Unauthenticated: 'No token, or one that is not valid any more',
  Forbidden: 'A permission is missing',
  NotFound: 'There is no such thing, or the caller may not know of it',
  Conflict: 'It is in the way of something that exists',
  TooLarge: 'The body or the address is too long',
  WrongContentType: 'The body is of a type that is not taken here',
  Invalid: 'The request is not valid; `errors` says where',
  TooMany: 'Too many requests; `Retry-After` says when to come back',
  Internal: 'Something went wrong here',
  Away: 'A part of the server is away for the moment',
}

const problem = (description: string) => ({
  description,
  content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
})

/** One OpenAPI 3.1 document of everything that the gateway serves, from the routes of all services. */
export function describeApi(apps: App[], version: string) {
  const components = new Components()
  components.refer(Problem as unknown as Json)
  const paths: Record<string, Record<string, Operation>> = {}
  for (const app of apps) {
    const described = toOpenAPISchema(app, { staticFile: false, methods: [] }).paths as typeof paths
    for (const [path, methods] of Object.entries(described)) {
      for (const [method, operation] of Object.entries(methods)) {
        if (!operation.operationId) throw new Error(`${method} ${path} has no operationId`)
        paths[path] = { ...paths[path], [method]: finish(method, operation, components) }
      }
    }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'ConnText',
      version,
      description:
        'A communication server that a community runs for itself. Its WebSocket is described by `/asyncapi.yaml`.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    security: [{ bearer: [] }],
    paths: sorted(paths),
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', description: 'An access token or an API token' } },
      responses: Object.fromEntries(Object.entries(PROBLEMS).map(([name, text]) => [name, problem(text)])),
      schemas: sorted(components.schemas),
    },
  }
}

const sorted = <T>(map: Record<string, T>): Record<string, T> =>
  Object.fromEntries(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1)))

function finish(method: string, { [REFUSALS]: refused, ...operation }: Operation, components: Components): Operation {
  const referring = (content: Body): Body =>
    Object.fromEntries(
      Object.entries(content).map(([type, media]) => [
        type,
        media.schema ? { ...media, schema: components.refer(media.schema) } : media,
      ]),
    )
  const responses = Object.fromEntries(
    Object.entries(operation.responses ?? {}).map(([status, response]) => [
      status,
      finishResponse(response, referring),
    ]),
  )
  return {
    ...operation,
    ...(operation.parameters
      ? { parameters: operation.parameters.map((one) => ({ ...one, schema: components.refer(one.schema) })) }
      : {}),
    ...(operation.requestBody ? { requestBody: finishBody(operation.requestBody, referring) } : {}),
    responses: { ...failures(method, operation), ...refusalsOf(refused), ...responses },
  }
}

/** It may be missing where all that it could hold is optional, as `baseApp` has it. */
function finishBody({ content, ...rest }: NonNullable<Operation['requestBody']>, referring: (content: Body) => Body) {
  const mayBeMissing = Object.values(content).some(({ schema }) => bodyMayBeMissing(schema))
  return { ...rest, required: !mayBeMissing, content: referring(content) }
}

type Response = Operation['responses'][string]

/** A response without a body, such as 204, comes with `content` that is none: it is left out. */
function finishResponse({ content, ...rest }: Response, referring: (content: Body) => Body): Response {
  const types = Object.entries(content ?? {}).filter(([type]) => type.includes('/'))
  return types.length > 0 ? { ...rest, content: referring(Object.fromEntries(types)) } : rest
}

const refusalsOf = (refused: unknown): Operation['responses'] =>
  Object.fromEntries(Object.entries((refused ?? {}) as Record<string, string>).map(([k, text]) => [k, problem(text)]))

/** What can go wrong with any operation of this form. A route's own words about a status win. */
function failures(method: string, operation: Operation): Operation['responses'] {
  const refer = (name: string) => ({ $ref: `#/components/responses/${name}` })
  const open = Array.isArray(operation.security) && operation.security.length === 0
  const body = operation.requestBody !== undefined
  const parameters = operation.parameters ?? []
  return {
    400: refer('BadRequest'),
    ...(open ? {} : { 401: refer('Unauthenticated'), 403: refer('Forbidden') }),
    ...(parameters.some((one) => one.in === 'path') ? { 404: refer('NotFound') } : {}),
    ...(body ? { 409: refer('Conflict') } : {}),
    413: refer('TooLarge'),
    ...(method === 'get' || method === 'head' ? {} : { 415: refer('WrongContentType') }),
    // A query that an operation doesn't take is refused, so even one without parameters can be asked wrongly.
    422: refer('Invalid'),
    429: refer('TooMany'),
    500: refer('Internal'),
    503: refer('Away'),
  }
}
