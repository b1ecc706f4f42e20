import { EMPTY_ROOT, hashNode } from './hash.ts'

/** The hash over 2^`level` leaves, from `index` × 2^`level` on: once those are there, it never changes. */
export type Node = { level: number; index: number }

/** Looks up a node's hash. */
export type NodeHash = (node: Node) => Uint8Array

/** Leaves from `start` up to, and without, `end`. */
type Range = { start: number; end: number }

/** The largest power of two below `n`, for n > 1. */
export function splitOf(n: number): number {
  let k = 1
  while (k * 2 < n) k *= 2
  return k
}

/** The complete subtrees that a tree's part is made of, from left to right. */
export function nodesOf({ start, end }: Range): Node[] {
  const nodes: Node[] = []
  for (let at = start; at < end; ) {
    let level = 0
    let width = 1
    while (at % (width * 2) === 0 && at + width * 2 <= end) {
      width *= 2
      level += 1
    }
    nodes.push({ level, index: at / width })
    at += width
  }
  return nodes
}

function hashOf(range: Range, hash: NodeHash): Uint8Array {
  const hashes = nodesOf(range).map(hash)
  return hashes.length === 0 ? EMPTY_ROOT : hashes.reduceRight((right, left) => hashNode(left, right))
}

/** The parts whose hashes are the inclusion path (RFC 9162, 2.1.3.1), in its order. */
function inclusionRanges(index: number, { start, end }: Range): Range[] {
  if (end - start <= 1) return []
  const middle = start + splitOf(end - start)
  return index < middle
    ? [...inclusionRanges(index, { start, end: middle }), { start: middle, end }]
    : [...inclusionRanges(index, { start: middle, end }), { start, end: middle }]
}

/** The same of the consistency proof (RFC 9162, 2.1.4.1). */
function consistencyRanges(first: number, { start, end }: Range, whole: boolean): Range[] {
  if (first === end) return whole ? [] : [{ start, end }]
  const middle = start + splitOf(end - start)
  return first <= middle
    ? [...consistencyRanges(first, { start, end: middle }, whole), { start: middle, end }]
    : [...consistencyRanges(first, { start: middle, end }, false), { start, end: middle }]
}

/** A proof before its hashes are known: which nodes it takes, and what it is once they are there. */
export type Plan<T> = { nodes: Node[]; make(hash: NodeHash): T }

const planOf = (ranges: Range[]): Plan<Uint8Array[]> => ({
  nodes: ranges.flatMap(nodesOf),
  make: (hash) => ranges.map((range) => hashOf(range, hash)),
})

/** The root of the first `size` leaves. */
export const planRoot = (size: number): Plan<Uint8Array> => ({
  nodes: nodesOf({ start: 0, end: size }),
  make: (hash) => hashOf({ start: 0, end: size }, hash),
})

/** Proves that a leaf is in the tree of `size` leaves, at `index`. @throws RangeError */
export function planInclusion(index: number, size: number): Plan<Uint8Array[]> {
  if (index < 0 || index >= size) throw new RangeError(`there is no leaf ${index} in a tree of ${size}`)
  return planOf(inclusionRanges(index, { start: 0, end: size }))
}

/** Proves that the tree of `second` leaves begins with the tree of `first`. @throws RangeError */
export function planConsistency(first: number, second: number): Plan<Uint8Array[]> {
  if (first < 1 || first > second) throw new RangeError(`a tree of ${second} does not begin with one of ${first}`)
  return planOf(consistencyRanges(first, { start: 0, end: second }, true))
}

/** The hashes of all complete subtrees, by level, of leaves that are all at hand. */
function levelsOf(leaves: Uint8Array[]): Uint8Array[][] {
  const levels = [leaves]
  for (let below = leaves; below.length > 1; ) {
    const level: Uint8Array[] = []
    for (let i = 0; i + 1 < below.length; i += 2) level.push(hashNode(below[i]!, below[i + 1]!))
    levels.push(level)
    below = level
  }
  return levels
}

/** The root of leaves that are all at hand, given by their hashes. */
export const rootOf = (leaves: Uint8Array[]): Uint8Array => make(planRoot(leaves.length), leaves)

/** The inclusion path among leaves that are all at hand. @throws RangeError */
export const inclusionPath = (leaves: Uint8Array[], index: number): Uint8Array[] =>
  make(planInclusion(index, leaves.length), leaves)

function make<T>(plan: Plan<T>, leaves: Uint8Array[]): T {
  const levels = levelsOf(leaves)
  return plan.make(({ level, index }) => levels[level]![index]!)
}
