import { authKeys, authSealed, pruneSigningKeys, recordKeysRotated, rotateSigningKey } from '@conntext/auth/admin'
import { type Logger, StartError, systemClock } from '@conntext/kernel'
import {
  countSealed,
  deleteUnusedKeys,
  type Keyring,
  listDataKeys,
  openKeyring,
  reseal,
  type SealedPlaces,
  TAKEN_UP_WITHIN_MS,
} from '@conntext/keyring'
import {
  listAuditKeys,
  recordKeysRotated as recordOfSystem,
  rotateAuditLogKey,
  systemKeys,
  systemSealed,
} from '@conntext/system/admin'
import { type Transaction, whileNobodyRotates } from '../master-key.ts'
import type { Place } from './place.ts'

type Say = (line: string) => void
type What = { master: boolean; signing: boolean; audit: boolean }
type Told = { log: Logger; say: Say }
type Rotating = { service: string; keyring: Keyring; places: SealedPlaces; keyId: string; values: number }

const services = [
  { keys: authKeys, places: authSealed },
  { keys: systemKeys, places: systemSealed },
]

/**
 * Seals everything anew under new data keys, while the server goes on. With `signing`, the key that signs access tokens
 * is followed by a new one as well; with `audit`, the
 * one that signs the audit log; with `master`, the data keys are wrapped under a new master key.
 * @throws StartError when another rotation is under way, the master key isn't this database's, or there is no new one
 */
export async function rotateKeys(place: Place, what: What, told: Told): Promise<void> {
  // What can't be done to the end isn't begun.
  const changeMasterKey = what.master ? place.masterKeyChange() : undefined
  const done = await whileNobodyRotates(place.db, async () => {
    const rotating = await renewAll(place, told.log)
    await sealAnew(place, rotating, told.say)
    await finish({ ...place, changeMasterKey }, rotating, what, told.say)
    return true
  })
  if (!done) throw new StartError('Another rotation is under way. Wait for it to end.')
}

async function renewAll({ db, masterKey }: Place, log: Logger): Promise<Rotating[]> {
  const keyrings = await Promise.all(services.map(({ keys }) => openKeyring({ ...keys, db, masterKey, log })))
  return Promise.all(
    keyrings.map(async (keyring, index) => {
      const keyId = await db.transaction((tx) => keyring.renew(tx))
      await keyring.look()
      const { keys, places } = services[index]!
      return { service: keys.service, keyring, places, keyId, values: 0 }
    }),
  )
}

async function sealAnew({ db, running }: Place, rotating: Rotating[], say: Say): Promise<void> {
  if (running) {
    // What it seals after that is under the new keys.
    say('waiting for the running server to take up the new keys')
    await Bun.sleep(TAKEN_UP_WITHIN_MS)
  }
  for (const one of rotating) {
    const { values, unreadable } = await reseal(db, one.keyring, one.keyId, one.places)
    one.values = values
    say(`${one.service}: ${values} values sealed anew`)
    if (unreadable > 0) say(`${one.service}: ${unreadable} values could not be opened, and stay as they are`)
    const deleted = await deleteUnusedKeys(db, one.keyring, one.places)
    if (deleted > 0) say(`${one.service}: ${deleted} retired keys deleted`)
  }
}

async function finish(
  { db, changeMasterKey }: Pick<Place, 'db'> & { changeMasterKey: ReturnType<Place['masterKeyChange']> | undefined },
  [auth, system]: Rotating[],
  { master, signing, audit }: What,
  say: Say,
): Promise<void> {
  const now = systemClock.now()
  const within = async (tx: Transaction) => {
    const signingKey = signing ? await rotateSigningKey(tx, auth!.keyring, now) : undefined
    const rotated = { values: auth!.values, masterKey: master, ...(signingKey && { signingKeyId: signingKey.id }) }
    await recordKeysRotated(tx, auth!.keyring, rotated)
    const auditKeyId = audit ? await rotateAuditLogKey(tx, system!.keyring) : undefined
    await recordOfSystem(tx, { values: system!.values, masterKey: master, ...(auditKeyId && { auditKeyId }) })
    if (auditKeyId) say(`the audit log is signed by a new key: ${auditKeyId}`)
    if (signingKey) say(`a new signing key is published, and signs from ${signingKey.signsFrom.toISOString()} on`)
  }
  await pruneSigningKeys(db, now)
  if (!changeMasterKey) return db.transaction(within)
  const said = await changeMasterKey(within)
  say(`the data keys are wrapped under a new master key; ${said}`)
}

/** One line for each data key, and for each key that signed the audit log: no secrets. */
export async function listKeys({ db }: Place): Promise<string[]> {
  const lines = [['service', 'key', 'made', 'state', 'values']]
  for (const { keys, places } of services) {
    const counts = await countSealed(db, places)
    for (const { id, purpose, createdAt, retiredAt } of await listDataKeys(db, keys.table)) {
      const state = purpose === 'hash' ? 'hashes' : retiredAt ? `retired ${retiredAt.toISOString()}` : 'seals'
      lines.push([keys.service, id, createdAt.toISOString(), state, String(counts.get(id) ?? 0)])
    }
  }
  for (const { id, createdAt, retiredAt } of await listAuditKeys(db)) {
    const state = retiredAt ? `retired ${retiredAt.toISOString()}` : 'signs'
    lines.push(['audit', id, createdAt.toISOString(), state, ''])
  }
  return aligned(lines)
}

function aligned(lines: string[][]): string[] {
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)))
  return lines.map((line) =>
    line
      .map((text, column) => text.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  )
}
