import { CURSOR_ID, CURSOR_NUMBER, decodeCursor, encodeCursor } from '@conntext/http'
import type { Place } from './queries.ts'

/** Where a page ended; of ranked ones also the newest message that was ranked, with which all pages begin. */
export type Cursor = { after: Place & { score: number | null }; newest: Place | null }

const NONE = '-'
const NONE_PATTERN = /^-$/
// As JavaScript writes a number that is not negative.
const SCORE = /^\d{1,20}(\.\d{1,20})?(e-\d{1,3})?$/

/** @throws request.invalid (422) for what no page of this kind gave out */
export function readCursor(text: string, isRanked: boolean): Cursor {
  const [score, at, id, newestAt, newestId] = decodeCursor(text, [
    isRanked ? SCORE : NONE_PATTERN,
    CURSOR_NUMBER,
    CURSOR_ID,
    isRanked ? CURSOR_NUMBER : NONE_PATTERN,
    isRanked ? CURSOR_ID : NONE_PATTERN,
  ]) as [string, string, string, string, string]
  return {
    after: { score: isRanked ? Number(score) : null, createdAt: new Date(Number(at)), id },
    newest: isRanked ? { createdAt: new Date(Number(newestAt)), id: newestId } : null,
  }
}

export const writeCursor = ({ after, newest }: Cursor): string =>
  encodeCursor([
    after.score ?? NONE,
    after.createdAt.getTime(),
    after.id,
    newest?.createdAt.getTime() ?? NONE,
    newest?.id ?? NONE,
  ])
