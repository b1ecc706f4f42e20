import { type CommunicationsExecutor, mediaUsage } from '@conntext/db-communications'
import { inArray, sql } from 'drizzle-orm'
import type { Transaction } from '../streams/writer.ts'
import { mediaErrors } from './errors.ts'

/** How many bytes may be stored for one person, and in all; undefined for as many as there is room for. */
export type Quotas = { person: number | undefined; server: number | undefined }

/** What is added to what is stored for somebody, or taken from it; `reserved` for what is still on its way. */
export type UsageChange = { ownerId: string; bytes?: number; files?: number; reserved?: number }

export type Usage = { bytes: number; files: number; reserved: number }

const SERVER = 'server'
const NOTHING: Usage = { bytes: 0, files: 0, reserved: 0 }

/**
 * Counts what is stored, in the transaction of the change itself. The server's row is taken first, then people's in the
 * order of their ids: so nobody waits for each other, and with `quotas` no two can both take what is left.
 * @throws media.quotaExceeded (409)
 */
export async function changeUsage(tx: Transaction, changes: UsageChange[], quotas?: Quotas): Promise<void> {
  if (changes.length === 0) return
  const totals = new Map<string, Usage>([[SERVER, { ...NOTHING }]])
  for (const change of changes.toSorted((a, b) => (a.ownerId < b.ownerId ? -1 : 1))) {
    const own = totals.get(change.ownerId) ?? { ...NOTHING }
    totals.set(change.ownerId, own)
    for (const total of [own, totals.get(SERVER)!]) add(total, change)
  }
  const rows = await tx
    .insert(mediaUsage)
    .values([...totals].map(([holder, total]) => ({ holder, ...total })))
    .onConflictDoUpdate({
      target: mediaUsage.holder,
      set: {
        bytes: sql`${mediaUsage.bytes} + excluded.bytes`,
        files: sql`${mediaUsage.files} + excluded.files`,
        reserved: sql`${mediaUsage.reserved} + excluded.reserved`,
      },
    })
    .returning()
  if (!quotas) return
  for (const row of rows) assertWithin(row, quotas, totals.get(row.holder)!)
}

function add(total: Usage, { bytes = 0, files = 0, reserved = 0 }: UsageChange): void {
  total.bytes += bytes
  total.files += files
  total.reserved += reserved
}

function assertWithin(now: Usage & { holder: string }, quotas: Quotas, added: Usage): void {
  const quota = now.holder === SERVER ? quotas.server : quotas.person
  const more = added.bytes + added.reserved
  if (quota === undefined || more <= 0 || now.bytes + now.reserved <= quota) return
  throw quotaExceeded(now.holder, quota, quota - (now.bytes + now.reserved - more))
}

const quotaExceeded = (holder: string, quota: number, left: number) =>
  mediaErrors.quotaExceeded(
    `${Math.max(0, left)} bytes are left of the ${quota} that ${holder === SERVER ? 'this server' : 'you'} may store.`,
  )

/** What is stored for somebody, and in all. */
export async function readUsage(db: CommunicationsExecutor, userId: string): Promise<{ own: Usage; server: Usage }> {
  const rows = await db
    .select()
    .from(mediaUsage)
    .where(inArray(mediaUsage.holder, [SERVER, userId]))
  const of = (holder: string): Usage => rows.find((row) => row.holder === holder) ?? NOTHING
  return { own: of(userId), server: of(SERVER) }
}

/**
 * How many more bytes somebody may store at this moment; infinite where there is no quota. Only storing them tells for
 * certain.
 * @throws media.quotaExceeded (409) where it is less than `wanted`
 */
export async function bytesLeft(
  db: CommunicationsExecutor,
  userId: string,
  { quotas, wanted }: { quotas: Quotas; wanted: number },
): Promise<number> {
  if (quotas.person === undefined && quotas.server === undefined) return Number.POSITIVE_INFINITY
  const { own, server } = await readUsage(db, userId)
  const left = ({ bytes, reserved }: Usage, quota = Number.POSITIVE_INFINITY) => Math.max(0, quota - bytes - reserved)
  const [mine, all] = [left(own, quotas.person), left(server, quotas.server)]
  if (mine < wanted) throw quotaExceeded(userId, quotas.person!, mine)
  if (all < wanted) throw quotaExceeded(SERVER, quotas.server!, all)
  return Math.min(mine, all)
}
