import { heapStats } from 'bun:jsc'

/** How much lives of each type, by its engine's name, once the garbage has been collected. */
export type Living = Readonly<Record<string, number>>

// The engine makes and drops these as code runs more often or hasn't run for a while.
const OF_CODE = /Code|Executable|Structure|SymbolTable|Template/

/**
 * What of this process's objects lives. Unlike resident memory, of which allocators keep what they like, it tells by
 * itself whether something is held: one more for each time that something was done.
 */
export async function living(): Promise<Living> {
  // Compiled code has thousands of strings, which it lets go of some time. Now it is dropped as soon as nothing runs.
  Bun.shrink()
  await new Promise((resolve) => setTimeout(resolve))
  Bun.gc(true)
  // What only finalizers let go of.
  Bun.gc(true)
  return Object.fromEntries(Object.entries(heapStats().objectTypeCounts).filter(([type]) => !OF_CODE.test(type)))
}

/** The types of which there are so many more than there were, and how many more. */
export const grownBy = (least: number, before: Living, after: Living): Living =>
  Object.fromEntries(
    Object.entries(after).flatMap(([type, count]) => {
      const more = count - (before[type] ?? 0)
      return more >= least ? [[type, more]] : []
    }),
  )
