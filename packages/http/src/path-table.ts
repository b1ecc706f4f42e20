type Node<T> = {
  literal: Map<string, Node<T>>
  parameter: Node<T> | undefined
  rest: T | undefined
  value: T | undefined
}

const newNode = <T>(): Node<T> => ({ literal: new Map(), parameter: undefined, rest: undefined, value: undefined })

/**
 * Finds by a path what belongs to its template, be it written `/a/{b}` or `/a/:b`; `*` at the end takes all that is left.
 * Literal segments win over parameters, as they do in the services' routers. Templates that differ in nothing but the
 * names of their parameters are one, with what `merge` makes of theirs.
 */
export function pathTable<T>(
  entries: Iterable<readonly [template: string, value: T]>,
  merge: (one: T, other: T) => T,
): (path: string) => T | undefined {
  const exact = new Map<string, T>()
  const root = newNode<T>()
  for (const [template, value] of entries) {
    if (/[{:*]/.test(template)) insert(root, template.slice(1).split('/'), value, merge)
    else exact.set(template, value)
  }
  return (path) => exact.get(path) ?? find(root, path, 1)
}

function insert<T>(root: Node<T>, segments: string[], value: T, merge: (one: T, other: T) => T): void {
  let node = root
  for (const segment of segments) {
    if (segment === '*') {
      node.rest = value
      return
    }
    if (segment.startsWith('{') || segment.startsWith(':')) {
      node.parameter ??= newNode()
      node = node.parameter
      continue
    }
    const next = node.literal.get(segment) ?? newNode<T>()
    node.literal.set(segment, next)
    node = next
  }
  node.value = node.value === undefined ? value : merge(node.value, value)
}

/** What belongs to `path` from `start` on, trying literals first at every segment. */
function find<T>(node: Node<T>, path: string, start: number): T | undefined {
  const slash = path.indexOf('/', start)
  const segment = slash === -1 ? path.slice(start) : path.slice(start, slash)
  const literal = node.literal.get(segment)
  const found = literal && (slash === -1 ? literal.value : find(literal, path, slash + 1))
  if (found !== undefined) return found
  if (!node.parameter || segment === '') return node.rest
  return (slash === -1 ? node.parameter.value : find(node.parameter, path, slash + 1)) ?? node.rest
}
