import { hash, randomBytes } from 'node:crypto'
import type { ChainedRow, EventRow } from '@conntext/db-audit'
import { hashLeaf } from '@conntext/merkle'

// Version 1 of what a leaf covers. A later version changes nothing here: it stands beside it, and says `v: 2`.

const SALT_BYTES = 16

/** As a netstring without its comma: no two values read the same. ClickHouse computes it too, in erasure.ts. */
const measured = (text: string | null): string => (text === null ? '-' : `${Buffer.byteLength(text)}:${text}`)

/** What stands in the leaf for values that may have to be removed one day: without the salt nobody can guess them. */
const commitment = (salt: string, ...values: (string | null)[]): string =>
  hash('sha256', salt + values.map(measured).join(''), 'hex')

/** Where the actor was: gone when the actor has been erased. */
function originOf(row: ChainedRow): string | null {
  const { address, user_agent, origin_salt: salt, origin_hash: erased } = row
  const isEmpty = address === null && user_agent === null && salt === ''
  return isEmpty ? erased || null : commitment(salt, address, user_agent)
}

/** What tells of the person whom it was done to: gone when they have been erased. */
function personalOf(row: ChainedRow): string | null {
  const { personal, reason, personal_salt: salt, personal_hash: erased } = row
  const isEmpty = personal === '' && reason === null && salt === ''
  return isEmpty ? erased || null : commitment(salt, personal, reason)
}

/** The row without where the actor was, its hash in its place. */
export const eraseOrigin = (row: ChainedRow) => ({
  origin_hash: originOf(row) ?? '',
  origin_salt: '',
  address: null,
  user_agent: null,
})

/** The row without what tells of whom it was done to, its hash in its place. */
export const erasePersonal = (row: ChainedRow) => ({
  personal_hash: personalOf(row) ?? '',
  personal_salt: '',
  personal: '',
  reason: null,
})

export const isOriginErased = (row: ChainedRow): boolean => row.origin_hash !== ''
export const isPersonalErased = (row: ChainedRow): boolean => row.personal_hash !== ''

/**
 * The bytes of a leaf: JSON in the canonical form of RFC 8785 (members in the order of their names, no white space).
 * Every member is text or null, the event's data too, as it is stored: nothing in it can be written in two ways.
 */
export const leafText = (row: ChainedRow): string =>
  JSON.stringify({
    action: row.action,
    actorId: row.actor_id,
    actorKind: row.actor_kind,
    data: row.data,
    id: row.id,
    occurredAt: row.occurred_at,
    origin: originOf(row),
    outcome: row.outcome,
    personal: personalOf(row),
    receivedAt: row.received_at,
    requestId: row.request_id,
    service: row.service,
    sessionId: row.session_id,
    severity: row.severity,
    targetId: row.target_id,
    targetKind: row.target_kind,
    traceId: row.trace_id,
    v: 1,
  })

export const leafHash = (row: ChainedRow): Buffer => hashLeaf(leafText(row))

/** Gives rows their places in a batch, and salts where there is something to hide. */
export function chain(rows: EventRow[], batch: number): ChainedRow[] {
  const salts = randomBytes(rows.length * 2 * SALT_BYTES)
  const salt = (i: number) => salts.toString('base64url', i * SALT_BYTES, (i + 1) * SALT_BYTES)
  return rows.map((row, index) => ({
    ...row,
    batch,
    batch_index: index,
    origin_salt: row.address === null && row.user_agent === null ? '' : salt(index * 2),
    personal_salt: row.personal === '' && row.reason === null ? '' : salt(index * 2 + 1),
    origin_hash: '',
    personal_hash: '',
  }))
}
