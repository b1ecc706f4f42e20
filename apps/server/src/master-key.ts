import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { authKeys } from '@conntext/auth/admin'
import type { Executor } from '@conntext/database'
import type { ServerDetails } from '@conntext/db-server-details'
import { findSecret, readOrCreateSecret, replaceSecret, type Subdirectories } from '@conntext/embedded'
import { StartError } from '@conntext/kernel'
import { opensDataKeys, rewrapDataKeys } from '@conntext/keyring'
import { systemKeys } from '@conntext/system/admin'
import { sql } from 'drizzle-orm'

const CURRENT = 'master-key'
/** What is about to be the master key, or is it already: the rename comes last. */
const NEXT = 'master-key.next'
const BYTES = 32
// Any number will do, as long as every instance of every version uses the same.
const ROTATION_LOCK = 7_261_013

const bytesOf = (secret: string) => Buffer.from(secret, 'base64url')

/**
 * Whether this server has never been started to the end: the master key is made before any data is.
 * @throws StartError where there is data, and no master key any more: a new one would open none of it
 */
export function isFirstStart(data: Subdirectories): boolean {
  if (existsSync(restoringMark(data))) {
    throw new StartError(
      `A restore into ${data.path} has not been finished: repeat it (conntext backup restore), or remove the directory.`,
    )
  }
  if (masterKeys(data).length > 0) return false
  if (!existsSync(join(data.path, 'postgres'))) return true
  throw new StartError(
    `The master key is gone: ${join(data.path, 'secrets', CURRENT)} is missing, and without it nothing opens what is in ` +
      'the database. Put it back from your backup.',
  )
}

/** There while a backup is being restored: what lies beside it is not whole. */
export const restoringMark = (data: Subdirectories): string => join(data.path, 'restoring')

/** Made at the first start. */
export function makeMasterKey(data: Subdirectories): void {
  readOrCreateSecret(data, CURRENT, BYTES)
}

/** The master keys that may be in force: one, or two while it is being changed. */
export function masterKeys(data: Subdirectories): Uint8Array[] {
  // In this order: what is renamed in between is read twice, and never missed.
  const next = findSecret(data, NEXT, BYTES)
  const current = findSecret(data, CURRENT, BYTES)
  return [current, next].filter((secret) => secret !== undefined).map(bytesOf)
}

/** Holds off every other rotation of this server's keys for as long as `work` takes; undefined where one is under way. */
export const whileNobodyRotates = <T>(db: Executor, work: () => Promise<T>): Promise<T | undefined> =>
  db.transaction(async (tx) => {
    const lock = sql`select pg_try_advisory_xact_lock(${ROTATION_LOCK}) as held`
    const [row] = (await tx.execute(lock)) as unknown as { held: boolean }[]
    return row?.held ? await work() : undefined
  })

export type Transaction = Parameters<Parameters<ServerDetails['transaction']>[0]>[0]
type Databases = { auth: Executor; system: Executor }

/** At the start: ends a change of the master key that was cut short after it had taken effect. */
export async function settleMasterKey(data: Subdirectories, databases: Databases): Promise<void> {
  if (findSecret(data, NEXT, BYTES) === undefined) return
  // Where a rotation is under way, it does this itself.
  await whileNobodyRotates(databases.auth, () => finishChange(data, databases))
}

async function finishChange(data: Subdirectories, { auth, system }: Databases): Promise<void> {
  const next = findSecret(data, NEXT, BYTES)
  if (next === undefined) return
  const opens = [
    await opensDataKeys(auth, authKeys, bytesOf(next)),
    await opensDataKeys(system, systemKeys, bytesOf(next)),
  ]
  // One that opens nothing was never in force. It stays: the next change takes it, and nothing ever deletes a key.
  if (opens.includes(true) && !opens.includes(false)) replaceSecret(data, { from: NEXT, to: CURRENT })
}

/**
 * Makes a new master key and wraps all data keys under it, in one transaction, with whatever `within` writes. Whenever
 * it is cut short, one of the two files opens everything, and the server looks at both.
 */
export async function changeMasterKey(
  data: Subdirectories,
  db: ServerDetails,
  within: (tx: Transaction) => Promise<void>,
): Promise<void> {
  await finishChange(data, { auth: db, system: db })
  const to = bytesOf(readOrCreateSecret(data, NEXT, BYTES))
  await wrapAnew(db, { from: masterKeys(data), to }, within)
  replaceSecret(data, { from: NEXT, to: CURRENT })
}

/** Wraps all data keys, which any of `from` opens, under `to`; in one transaction with what `within` writes. */
export const wrapAnew = (
  db: ServerDetails,
  wrapping: { from: Uint8Array[]; to: Uint8Array },
  within: (tx: Transaction) => Promise<void>,
): Promise<void> =>
  db.transaction(async (tx) => {
    for (const keys of [authKeys, systemKeys]) await rewrapDataKeys(tx, keys, wrapping)
    await within(tx)
  })
