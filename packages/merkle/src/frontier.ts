import { EMPTY_ROOT, hashNode } from './hash.ts'
import { type Node, type NodeHash, nodesOf } from './tree.ts'

/** The complete subtrees that a tree's first `size` leaves are made of: all that it takes to go on with it. */
export const frontierNodes = (size: number): Node[] => nodesOf({ start: 0, end: size })

/** A tree that grows at its end, in memory that grows with the logarithm of its size. */
export class Frontier {
  #hashes: Uint8Array[]

  private constructor(
    private count: number,
    hashes: Uint8Array[],
  ) {
    this.#hashes = hashes
  }

  static empty = (): Frontier => new Frontier(0, [])

  /** Goes on where a tree of `size` leaves ended. */
  static at = (size: number, hash: NodeHash): Frontier => new Frontier(size, frontierNodes(size).map(hash))

  get size(): number {
    return this.count
  }

  copy = (): Frontier => new Frontier(this.count, [...this.#hashes])

  /** Appends a leaf; answers the subtrees that it completes, itself first, from the lowest level up. */
  append(leaf: Uint8Array): Uint8Array[] {
    const completed = [leaf]
    for (let n = this.count; n % 2 === 1; n = (n - 1) / 2) {
      completed.push(hashNode(this.#hashes.pop()!, completed.at(-1)!))
    }
    this.#hashes.push(completed.at(-1)!)
    this.count += 1
    return completed
  }

  root(): Uint8Array {
    return this.count === 0 ? EMPTY_ROOT : this.#hashes.reduceRight((right, left) => hashNode(left, right))
  }
}

/** Where `append` has told a node: which leaf completed it. Its level is the place in what was answered. */
export const completedBy = ({ level, index }: Node): number => (index + 1) * 2 ** level - 1
