import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  completedBy,
  Frontier,
  hashLeaf,
  hashNode,
  inclusionPath,
  type Node,
  planConsistency,
  planInclusion,
  planRoot,
  rootOf,
  splitOf,
  verifyConsistency,
  verifyInclusion,
} from '../src/index.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

// The vectors of certificate-transparency's tests, which RFC 9162's trees share with RFC 6962's.
const INPUTS = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f']
const ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
]
const known = INPUTS.map((input) => hashLeaf(Buffer.from(input, 'hex')))
const leavesOf = (size: number) => Array.from({ length: size }, (_, i) => hashLeaf(`leaf ${i}`))

/** MTH as RFC 9162, 2.1.1 defines it, word by word. */
const defined = (leaves: Uint8Array[]): Uint8Array => {
  if (leaves.length < 2) return rootOf(leaves)
  const k = splitOf(leaves.length)
  return hashNode(defined(leaves.slice(0, k)), defined(leaves.slice(k)))
}

/** What a log keeps: for each leaf the subtrees that it completed. */
function grow(leaves: Uint8Array[]) {
  const frontier = Frontier.empty()
  const kept = leaves.map((leaf) => frontier.append(leaf))
  return { frontier, node: (node: Node) => kept[completedBy(node)]![node.level]! }
}

test('the roots are those of the known vectors', () => {
  expect(ROOTS.map((_, size) => hex(rootOf(known.slice(0, size))))).toEqual(ROOTS)
  const frontier = Frontier.empty()
  expect(hex(frontier.root())).toBe(ROOTS[0]!)
  for (const [i, leaf] of known.entries()) {
    frontier.append(leaf)
    expect(hex(frontier.root())).toBe(ROOTS[i + 1]!)
  }
})

describe('for every size up to 40', () => {
  const all = leavesOf(40)
  const { node } = grow(all)

  test('a tree that grew, one taken up later and one computed at once have the defined root', () => {
    for (let size = 0; size <= all.length; size += 1) {
      const root = hex(defined(all.slice(0, size)))
      expect(hex(rootOf(all.slice(0, size)))).toBe(root)
      expect(hex(planRoot(size).make(node))).toBe(root)
      expect(hex(Frontier.at(size, node).root())).toBe(root)
      expect(hex(grow(all.slice(0, size)).frontier.root())).toBe(root)
    }
  })

  test('each leaf is proven, at its place alone', () => {
    for (let size = 1; size <= all.length; size += 1) {
      const root = rootOf(all.slice(0, size))
      for (let index = 0; index < size; index += 1) {
        const path = planInclusion(index, size).make(node)
        expect(path.map(hex)).toEqual(inclusionPath(all.slice(0, size), index).map(hex))
        expect(verifyInclusion({ index, size, root }, all[index]!, path)).toBe(true)
        expect(verifyInclusion({ index, size, root }, all[(index + 1) % 40]!, path)).toBe(false)
        if (size > 1) {
          expect(verifyInclusion({ index: (index + 1) % size, size, root }, all[index]!, path)).toBe(false)
          expect(verifyInclusion({ index, size, root }, all[index]!, path.slice(1))).toBe(false)
        }
        expect(verifyInclusion({ index, size, root }, all[index]!, [...path, root])).toBe(false)
      }
    }
  })

  test('each tree is proven to begin with every smaller one, and with no other', () => {
    const head = (size: number) => ({ size, root: rootOf(all.slice(0, size)) })
    const other = { ...head(1), root: hashLeaf('another') }
    for (let second = 1; second <= all.length; second += 1) {
      for (let first = 1; first <= second; first += 1) {
        const path = planConsistency(first, second).make(node)
        expect(verifyConsistency(head(first), head(second), path)).toBe(true)
        expect(verifyConsistency({ ...other, size: first }, head(second), path)).toBe(false)
        expect(verifyConsistency(head(first), { ...other, size: second }, path)).toBe(false)
        if (path.length > 0) expect(verifyConsistency(head(first), head(second), path.slice(1))).toBe(false)
      }
    }
  })
})

test('places that are not there have no proof', () => {
  expect(() => planInclusion(3, 3)).toThrow(RangeError)
  expect(() => planConsistency(4, 3)).toThrow(RangeError)
  expect(() => planConsistency(0, 3)).toThrow(RangeError)
  expect(verifyConsistency({ size: 0, root: rootOf([]) }, { size: 1, root: rootOf(leavesOf(1)) }, [])).toBe(false)
})

test('large trees are taken up anywhere, and any flipped bit of a proof is noticed', () => {
  const all = leavesOf(3000)
  const { node, frontier } = grow(all)
  const root = frontier.root()
  fc.assert(
    fc.property(fc.nat(2999), fc.nat(2999), fc.nat(), (index, from, where) => {
      const later = Frontier.at(from, node)
      for (const leaf of all.slice(from)) later.append(leaf)
      expect(hex(later.root())).toBe(hex(root))
      const path = planInclusion(index, 3000)
        .make(node)
        .map((hash) => Buffer.from(hash))
      expect(verifyInclusion({ index, size: 3000, root }, all[index]!, path)).toBe(true)
      const broken = path[where % path.length]!
      broken[where % 32]! ^= 1 << (where % 8)
      expect(verifyInclusion({ index, size: 3000, root }, all[index]!, path)).toBe(false)
    }),
    { numRuns: 50 },
  )
})
