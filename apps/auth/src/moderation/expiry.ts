import { type AuditActor, auditFor, systemActor } from '@conntext/contracts'
import type { KnownTime } from '@conntext/database'
import type { ServerDetails } from '@conntext/db-server-details'
import type { Clock, Job } from '@conntext/kernel'
import { lockAuthority } from '../authority/queries.ts'
import type { Changes } from '../changes.ts'
import { beginMembership } from '../membership/standing.ts'
import type { Transaction } from '../transaction.ts'
import { deleteBan, listOverBans } from './queries.ts'

const EVERY_MS = 30_000
const BATCH = 100

const audit = auditFor('auth')

type Dependencies = { db: ServerDetails; clock: Clock; changes: Changes }

/** Ends a ban, in a transaction that holds the lock on authority. */
export async function endBan(
  tx: Transaction,
  { changes, clock }: Pick<Dependencies, 'changes' | 'clock'>,
  { userId, actor, by }: { userId: string; actor: AuditActor; by: 'moderator' | 'expiry' },
): Promise<void> {
  await deleteBan(tx, userId)
  await beginMembership(tx, changes, { userId, now: clock.now() })
  await changes.owe(tx, { audit: [audit('member.unbanned', actor, userId, { by })] })
}

/**
 * Makes those whose bans are over members again: every half minute, and for one person at once where it matters now.
 * Any number of instances may do so. Not by a clock that is not to be believed: bans hold until they are ended.
 */
export class BanExpiry {
  constructor(private readonly deps: Dependencies & { knownTime: Pick<KnownTime, 'isInDoubt'> }) {}

  get job(): Job {
    return {
      name: 'ban expiry',
      everyMs: EVERY_MS,
      run: async (stopping) => {
        while (!stopping.aborted && (await this.#end()) === BATCH);
      },
    }
  }

  /** Ends one person's ban if it is over, before the answer of whoever asks. */
  async endOf(userId: string): Promise<void> {
    await this.#end(userId)
  }

  /** The same in a transaction that holds the lock on authority, whose owner tells of it after the commit. */
  async endWithin(tx: Transaction, userId?: string): Promise<string[]> {
    const over = await listOverBans(tx, { now: this.deps.clock.now(), userId, limit: BATCH })
    for (const id of over) await endBan(tx, this.deps, { userId: id, actor: systemActor, by: 'expiry' })
    return over
  }

  async #end(userId?: string): Promise<number> {
    const { db, clock, changes, knownTime } = this.deps
    // Asked first: mostly there is none, and the lock holds everybody up.
    if ((await listOverBans(db, { now: clock.now(), userId, limit: 1 })).length === 0) return 0
    if (await knownTime.isInDoubt()) return 0
    const ended = await db.transaction(async (tx) => {
      await lockAuthority(tx)
      return this.endWithin(tx, userId)
    })
    await changes.settled({ authority: ended.map((id) => ({ userId: id })) })
    return ended.length
  }
}
