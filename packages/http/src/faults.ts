import type { InputFault } from '@conntext/kernel'

/** What a schema's check finds, as far as it is needed. */
type Found = { path?: unknown; message?: unknown; schema?: unknown }

const MOST = 20

/**
 * What is wrong with an input, for whoever sent it: of each place the first that was found, twenty at most. Never what
 * stood there.
 */
export function faultsFrom(found: Iterable<Found>, prefix = ''): InputFault[] {
  const faults = new Map<string, InputFault>()
  for (const { path, message, schema } of found) {
    const place = prefix + (typeof path === 'string' ? path : '')
    if (faults.has(place)) continue
    faults.set(place, { path: place, message: tell(message, schema) })
    if (faults.size === MOST) break
  }
  return [...faults.values()]
}

function tell(message: unknown, schema: unknown): string {
  if (typeof message !== 'string') return 'is not valid'
  const words = message === 'Expected union value' ? wordsOf(schema) : undefined
  return words ? `Expected one of ${words.join(', ')}` : message
}

/** The words, numbers and so on of which one is expected; undefined where anything else would do as well. */
function wordsOf(schema: unknown): string[] | undefined {
  const { anyOf, const: word, type } = (schema ?? {}) as { anyOf?: unknown[]; const?: unknown; type?: unknown }
  if (word !== undefined) return [String(word)]
  if (type === 'null') return ['null']
  if (!anyOf) return undefined
  const words = anyOf.map(wordsOf)
  return words.every((some) => some !== undefined) ? words.flat() : undefined
}
