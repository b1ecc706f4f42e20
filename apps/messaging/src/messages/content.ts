import type { ServerLimits } from '@conntext/contracts'
import { messageErrors } from './errors.ts'

/**
 * Refuses what can't be a message's words. Everything else is kept as it came: nothing is trimmed or normalised.
 * @throws message.unstorable, message.empty, message.tooLong
 */
export function checkContent(content: string, limits: ServerLimits, hasMedia: boolean): void {
  if (content === '' && !hasMedia) throw messageErrors.empty()
  checkStorable(content, '/body/content')
  if (exceeds(content, limits.maxMessageLength)) {
    throw messageErrors.tooLong(`At most ${limits.maxMessageLength} characters are taken here.`)
  }
}

/** Refuses text that has no UTF-8 form, or that Postgres can't hold. @throws message.unstorable */
export function checkStorable(text: string, path: string): void {
  if (text.isWellFormed() && !text.includes('\0')) return
  const message = text.isWellFormed() ? 'must not contain U+0000' : 'must not contain half of a surrogate pair'
  throw messageErrors.unstorable({ errors: [{ path, message }] })
}

/** Whether the text has more Unicode code points than this. */
function exceeds(text: string, limit: number): boolean {
  if (text.length <= limit) return false
  let count = 0
  for (const _ of text) {
    count += 1
    if (count > limit) return true
  }
  return false
}
