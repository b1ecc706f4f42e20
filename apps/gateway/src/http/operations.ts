import { pathTable } from '@conntext/http'

/** What the OpenAPI document says of one operation. */
export type Operation = { id: string; public: boolean }

/** What is known of a path: its operations by method. */
export type PathOperations = ReadonlyMap<string, Operation>

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace']
const NONE: PathOperations = new Map()

type Document = { paths?: Record<string, Record<string, unknown>>; security?: unknown[] }

// `security: []`, or an alternative that asks for nothing, makes an operation public (OpenAPI 3.1, section 4.8.10).
const isPublic = (security: unknown): boolean =>
  Array.isArray(security) &&
  (security.length === 0 || security.some((one) => Object.keys((one ?? {}) as object).length === 0))

/** Compiles an OpenAPI document into a matcher: path → its operations. */
export function compileOperations(document: object): (path: string) => PathOperations {
  const { paths = {}, security } = document as Document
  const find = pathTable(
    Object.entries(paths).map(([template, item]) => {
      const operations = new Map<string, Operation>()
      for (const method of METHODS) {
        const operation = item[method] as { operationId?: string; security?: unknown } | undefined
        if (!operation) continue
        const id = operation.operationId ?? `${method} ${template}`
        operations.set(method.toUpperCase(), { id, public: isPublic(operation.security ?? security) })
      }
      return [template, operations as PathOperations] as const
    }),
    (one, other) => new Map([...one, ...other]),
  )
  return (path) => find(path) ?? NONE
}
