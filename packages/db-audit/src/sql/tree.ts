import { refuse } from './failure.ts'
import { isAllowedFunction, isAllowedType } from './functions.ts'

/** A node of the syntax tree as `EXPLAIN AST` prints it: its kind, and its name or value. */
export type Node = { kind: string; text: string; children: Node[] }

// What comes last is taken off first: a name or a text may hold anything but a bracket at its end.
const CHILDREN = / \(children (\d+)\)$/
const ALIAS = / \(alias [^()]*\)$/
const LINE = /^( *)([\w:]+)(?: (.*))?$/s

type Line = { depth: number; kind: string; text: string; expects: number }

function readLine(line: string): Line {
  const expects = Number(CHILDREN.exec(line)?.[1] ?? 0)
  const match = LINE.exec(line.replace(CHILDREN, '').replace(ALIAS, '')) ?? refuse('It is not understood.')
  return { depth: match[1]!.length, kind: match[2]!, text: match[3] ?? '', expects }
}

/** @throws SqlFailure where the lines are no tree: then they are not what they seem */
export function parseTree(lines: string[]): Node {
  const path: { node: Node; expects: number }[] = []
  let root: Node | undefined
  const close = (depth: number) => {
    for (const { node, expects } of path.splice(depth)) {
      if (node.children.length !== expects) refuse('It is not understood.')
    }
  }
  for (const line of lines) {
    const { depth, kind, text, expects } = readLine(line)
    const node: Node = { kind, text, children: [] }
    if (depth > path.length || (depth === 0 && root)) refuse('It is not understood.')
    close(depth)
    path.at(-1)?.node.children.push(node)
    root ??= node
    path.push({ node, expects })
  }
  close(0)
  return root ?? refuse('It is not understood.')
}

const KINDS = new Set(
  (
    'SelectWithUnionQuery SelectQuery SelectIntersectExceptQuery ExpressionList Function Identifier Literal Asterisk ' +
    'QualifiedAsterisk ColumnsTransformerList ColumnsExceptTransformer TablesInSelectQuery TablesInSelectQueryElement ' +
    'TableExpression TableIdentifier TableJoin ArrayJoin Subquery WithElement OrderByElement WindowDefinition ' +
    'WindowListElement'
  ).split(' '),
)
// What is said instead of the engine's own names.
const SAID: Record<string, string> = {
  Set: 'SETTINGS is not allowed.',
  QueryParameter: 'Parameters are not allowed.',
  ColumnsApplyTransformer: 'APPLY is not allowed.',
  InterpolateElement: 'INTERPOLATE is not allowed.',
  SampleRatio: 'SAMPLE is not allowed.',
}
// Their second argument may be the name of a table.
const IN = /^(?:global)?(?:not)?(?:null)?(?:not)?in(?:ignoreset)?$/i

/**
 * Checks every node against what is allowed; `tables` are the names that may be read.
 * @throws SqlFailure
 */
export function checkTree(root: Node, tables: ReadonlySet<string>): void {
  if (root.kind !== 'SelectWithUnionQuery') refuse('Only SELECT is allowed.')
  const left = [root]
  for (let node = left.pop(); node; node = left.pop()) {
    if (!KINDS.has(node.kind)) refuse(SAID[node.kind] ?? 'It has a part that is not allowed.')
    if (node.kind === 'TableIdentifier') checkTable(node.text, tables)
    if (node.kind === 'TableExpression') checkTableExpression(node)
    if (node.kind === 'Function') checkFunction(node, tables)
    if (node.kind === 'OrderByElement' && node.children.length !== 1) refuse('WITH FILL and COLLATE are not allowed.')
    left.push(...node.children)
  }
}

function checkTable(name: string, tables: ReadonlySet<string>): void {
  if (!tables.has(name)) refuse(`${name} can't be read; there is ${[...tables][0]}.`)
}

function checkTableExpression({ children }: Node): void {
  const [source, ...rest] = children
  if (source?.kind === 'Function') refuse(`${source.text} can't be read: table functions are not allowed.`)
  if (rest.length > 0 || (source?.kind !== 'TableIdentifier' && source?.kind !== 'Subquery')) {
    refuse('SAMPLE is not allowed.')
  }
}

function checkFunction({ text, children }: Node, tables: ReadonlySet<string>): void {
  if (!isAllowedFunction(text)) refuse(`The function ${text} is not allowed.`)
  const second = children[0]?.children[1]
  if (IN.test(text) && second?.kind === 'Identifier') checkTable(second.text, tables)
  if (text.toLowerCase() !== 'cast') return
  const type = second?.kind === 'Literal' ? /^'(.*)'$/s.exec(second.text)?.[1] : undefined
  if (type === undefined || !isAllowedType(type)) refuse('CAST is for plain types.')
}

/** Tables that a resolved query tree reads, as `EXPLAIN QUERY TREE` prints them; table functions by their names. */
export function resolvedTables(lines: string[]): string[] {
  return lines.flatMap((line) => {
    const table = /^\s*TABLE id: \d+.*, table_name: (.+)$/.exec(line)
    if (table) return [table[1]!]
    const called = /^\s*TABLE_FUNCTION id: \d+.*, table_function_name: (.+)$/.exec(line)
    return called ? [`${called[1]}()`] : []
  })
}
