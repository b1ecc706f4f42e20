import type { ServerDetails } from '@conntext/db-server-details'
import type { Clock, Job } from '@conntext/kernel'
import { pruneSigningKeys } from './keys/signing-keys.ts'
import { forgetSuccessors, pruneSessions, pruneUsedTokens } from './sessions/queries.ts'
import { REFRESH_GRACE_MS } from './sessions/service.ts'
import { pruneFailures } from './throttle/queries.ts'
import { FORGOTTEN_AFTER_MS } from './throttle/throttle.ts'
import { pruneApiTokens } from './tokens/queries.ts'
import { prunePendingTotp } from './totp/queries.ts'
import { PENDING_TOTP_MS } from './totp/service.ts'
import { pruneValidationTokens } from './validation/tokens.ts'

const HOUR_MS = 60 * 60_000
const EVERY_MS = HOUR_MS
const BATCH = 1_000
// Longer than the port lets others ask about.
const REVOKED_KEPT_MS = 25 * HOUR_MS
// How long after its use a refresh token that comes back ends the session; later it is merely refused.
const USED_TOKENS_KEPT_MS = 7 * 24 * HOUR_MS

type Dependencies = { db: ServerDetails; clock: Clock }

/** Deletes what nobody asks for any more: at the start, then every hour, in batches that hold no lock for long. */
export const pruningJob = ({ db, clock }: Dependencies): Job => ({
  name: 'pruning',
  everyMs: EVERY_MS,
  async run(stopping) {
    const now = clock.now().getTime()
    const before = (ms: number) => new Date(now - ms)
    const over = { expiredBefore: before(0), revokedBefore: before(REVOKED_KEPT_MS), limit: BATCH }
    const inBatches = async (prune: () => Promise<number>) => {
      while (!stopping.aborted && (await prune()) === BATCH);
    }
    await inBatches(() => pruneSessions(db, over))
    await inBatches(() => pruneApiTokens(db, over))
    await inBatches(() => pruneUsedTokens(db, { usedBefore: before(USED_TOKENS_KEPT_MS), limit: BATCH }))
    await forgetSuccessors(db, before(REFRESH_GRACE_MS))
    await pruneValidationTokens(db, before(0))
    await prunePendingTotp(db, before(PENDING_TOTP_MS))
    await pruneSigningKeys(db, clock.now())
    await pruneFailures(db, before(FORGOTTEN_AFTER_MS))
  },
})
