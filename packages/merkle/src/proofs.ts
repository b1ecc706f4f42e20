import { equalHashes, hashNode } from './hash.ts'

const isOdd = (n: number) => n % 2 === 1
const half = (n: number) => Math.floor(n / 2)

/** Whether the path leads from the leaf at `index` to the root of a tree of `size` leaves (RFC 9162, 2.1.3.2). */
export function verifyInclusion(
  { index, size, root }: { index: number; size: number; root: Uint8Array },
  leaf: Uint8Array,
  path: Uint8Array[],
): boolean {
  if (index < 0 || index >= size) return false
  let [fn, sn, r] = [index, size - 1, leaf]
  for (const p of path) {
    if (sn === 0) return false
    if (isOdd(fn) || fn === sn) {
      r = hashNode(p, r)
      while (!isOdd(fn) && fn !== 0) [fn, sn] = [half(fn), half(sn)]
    } else r = hashNode(r, p)
    ;[fn, sn] = [half(fn), half(sn)]
  }
  return sn === 0 && equalHashes(r, root)
}

type Head = { size: number; root: Uint8Array }

/** Whether the second tree begins with the first (RFC 9162, 2.1.4.2). */
export function verifyConsistency(first: Head, second: Head, path: Uint8Array[]): boolean {
  if (first.size < 1 || first.size > second.size) return false
  if (first.size === second.size) return path.length === 0 && equalHashes(first.root, second.root)
  const steps = isPowerOfTwo(first.size) ? [first.root, ...path] : path
  if (steps.length === 0) return false
  let [fn, sn] = [first.size - 1, second.size - 1]
  while (isOdd(fn)) [fn, sn] = [half(fn), half(sn)]
  let [fr, sr] = [steps[0]!, steps[0]!]
  for (const c of steps.slice(1)) {
    if (sn === 0) return false
    if (isOdd(fn) || fn === sn) {
      fr = hashNode(c, fr)
      sr = hashNode(c, sr)
      while (!isOdd(fn) && fn !== 0) [fn, sn] = [half(fn), half(sn)]
    } else sr = hashNode(sr, c)
    ;[fn, sn] = [half(fn), half(sn)]
  }
  return sn === 0 && equalHashes(fr, first.root) && equalHashes(sr, second.root)
}

const isPowerOfTwo = (n: number): boolean => Number.isInteger(Math.log2(n))
