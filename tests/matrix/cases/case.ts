import type { Operation } from '../document.ts'
import type { Scene } from '../scene.ts'
import type { Answer, Ask } from '../send.ts'

/** One way to ask an operation, and what has to come of it. */
export type Case = {
  name: string
  /** What is different from a good request. */
  change: (ask: Ask) => Partial<Ask>
  /** `success`: what a good request gets. `documented`: anything that the document knows, but no failure of ours. */
  expect: number | number[] | 'success' | 'documented'
  /** Asked with a good request of its own, even though it is expected to be refused. */
  fresh?: boolean
  /** What else is wrong with the answer. */
  also?: (answer: Answer, ask: Ask) => string[]
}

/** What cases are made from: an operation, and a good request to it; `unused` were made for cases that left them so. */
export type Subject = { operation: Operation; good: Ask; scene: Scene; unused: Ask[] }

/** Whether a request may succeed, and so may use up what it needs. */
export const maySucceed = ({ expect, fresh }: Case, operation: Operation): boolean =>
  fresh || typeof expect === 'string' || [expect].flat().includes(operation.success)

/** That it is refused for this reason, and not for another of the same status. */
export const because =
  (code: string) =>
  ({ text }: Answer): string[] => {
    const told = text.startsWith('{') ? (JSON.parse(text) as { code?: string }).code : undefined
    return told === code ? [] : [`is ${told}, not ${code}`]
  }

export const header = (name: string, value: string) => (ask: Ask) => ({ headers: { ...ask.headers, [name]: value } })
