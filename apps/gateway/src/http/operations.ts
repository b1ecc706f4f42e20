/** What the OpenAPI document says of one operation. */
export type Operation = { public: boolean }

/** What is known of a path: its operations by method. */
export type PathOperations = ReadonlyMap<string, Operation>

type Node = { literal: Map<string, Node>; parameter: Node | undefined; operations: Map<string, Operation> | undefined }

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace']
const NONE: PathOperations = new Map()

type Document = { paths?: Record<string, Record<string, unknown>>; security?: unknown[] }

const newNode = (): Node => ({ literal: new Map(), parameter: undefined, operations: undefined })

// `security: []`, or an alternative that asks for nothing, makes an operation public (OpenAPI 3.1, section 4.8.10).
const isPublic = (security: unknown): boolean =>
  Array.isArray(security) &&
  (security.length === 0 || security.some((one) => Object.keys((one ?? {}) as object).length === 0))

/**
 * Compiles an OpenAPI document into a matcher: path → its operations. Literal segments win over parameters, as they
 * do in the services' routers.
 */
export function compileOperations(document: object): (path: string) => PathOperations {
  const { paths = {}, security } = document as Document
  const exact = new Map<string, PathOperations>()
  const root = newNode()
  for (const [template, item] of Object.entries(paths)) {
    const operations = new Map<string, Operation>()
    for (const method of METHODS) {
      const operation = item[method] as { security?: unknown } | undefined
      if (operation) operations.set(method.toUpperCase(), { public: isPublic(operation.security ?? security) })
    }
    if (template.includes('{')) insert(root, template.slice(1).split('/'), operations)
    else exact.set(template, operations)
  }
  return (path) => exact.get(path) ?? find(root, path, 1) ?? NONE
}

function insert(root: Node, segments: string[], operations: Map<string, Operation>): void {
  let node = root
  for (const segment of segments) {
    if (segment.startsWith('{')) {
      node.parameter ??= newNode()
      node = node.parameter
      continue
    }
    const next = node.literal.get(segment) ?? newNode()
    node.literal.set(segment, next)
    node = next
  }
  node.operations = new Map([...(node.operations ?? []), ...operations])
}

/** The operations at `path` from `start` on, trying literals first at every segment. */
function find(node: Node, path: string, start: number): PathOperations | undefined {
  const slash = path.indexOf('/', start)
  const segment = slash === -1 ? path.slice(start) : path.slice(start, slash)
  const literal = node.literal.get(segment)
  const found = literal && (slash === -1 ? literal.operations : find(literal, path, slash + 1))
  if (found) return found
  if (!node.parameter || segment === '') return undefined
  return slash === -1 ? node.parameter.operations : find(node.parameter, path, slash + 1)
}
