import type { ChosenPresence, CustomStatus } from '@conntext/contracts'
import { cleanEmoji, cleanName, requestErrors } from '@conntext/http'
import type { Choice } from './own.ts'

/** The most characters of a custom status, in Unicode code points. */
const MOST_STATUS = 128
const LONGEST_MS = 366 * 24 * 60 * 60 * 1000

/**
 * What a client says of itself, as it is told to others: by the rules of names.
 * @throws request.invalid (422) for what can't be seen, tricks the eye, is too long or over already; `path` is where it
 * stands in the frame
 */
export function cleanChoice({ status, customStatus }: ChosenPresence, now: Date, path = ''): Choice {
  return {
    ...(status === undefined ? {} : { status }),
    ...(customStatus === undefined ? {} : { customStatus: cleanStatus(customStatus, now, `${path}/customStatus`) }),
  }
}

/**
 * What a client says of itself as it identifies: what it has said before, on another connection. A custom status whose
 * time is over by now is none. @throws as `cleanChoice`
 */
export function cleanIntroduction(presence: ChosenPresence, now: Date): Choice {
  const { customStatus, ...rest } = presence
  const expiresAt = customStatus?.expiresAt
  const isOver = expiresAt != null && Date.parse(expiresAt) <= now.getTime()
  return cleanChoice(isOver ? rest : presence, now, '/presence')
}

function cleanStatus(given: ChosenPresence['customStatus'], now: Date, path: string): CustomStatus | null {
  const text = given?.text ? cleanName(given.text, { path: `${path}/text`, most: MOST_STATUS }) : null
  const emoji = given?.emoji ? cleanEmoji(given.emoji, `${path}/emoji`) : null
  if (text === null && emoji === null) return null
  return { text, emoji, expiresAt: given?.expiresAt ? future(given.expiresAt, now, `${path}/expiresAt`) : null }
}

function future(text: string, now: Date, path: string): string {
  const left = Date.parse(text) - now.getTime()
  if (left > 0 && left <= LONGEST_MS) return new Date(text).toISOString()
  throw requestErrors.invalid({ errors: [{ path, message: 'must be in the future, and within a year' }] })
}
