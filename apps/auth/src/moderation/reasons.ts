import type { Caller } from '@conntext/http'
import type { Administrator } from '../roles/administration.ts'
import { moderationErrors } from './errors.ts'

/** Why it is done, as far as it was said. @throws moderation.reasonRequired (422) where the server asks for it */
export function reasonOf({ authority }: Administrator, { reason }: Caller): string | null {
  const given = reason?.trim() || null
  if (given === null && authority.snapshot.server.requireModerationReason) throw moderationErrors.reasonRequired()
  return given
}
