import type { ChainedRow, EventRow } from '@conntext/db-audit'
import { auditPending } from '@conntext/db-server-details'
import type { Clock } from '@conntext/kernel'
import type { Keyring } from '@conntext/keyring'
import { Frontier, frontierNodes, rootOf } from '@conntext/merkle'
import type { Transaction } from '../../change.ts'
import { base64, type Header, headerHash } from './header.ts'
import type { Signers } from './keys.ts'
import { rangeOf } from './known-events.ts'
import { chain, leafHash } from './leaf.ts'
import { checkpointText, originOf } from './note.ts'
import { type ChainState, insertBatch, packLeaves, readHead, readNodes } from './queries.ts'

type Deps = { keyring: Keyring; signers: Signers; clock: Clock }

/** Where the log ends: what the next batch begins with. */
export type Tip = { number: number; start: number; previous: Buffer | null; frontier: Frontier }

export type Batch = {
  number: number
  root: Uint8Array
  ids: string[]
  /** One JSON object a line. */
  lines: string
}

/** What the rows of a batch are sealed for while they wait. */
export const pendingContext = (number: number): string => `audit-pending:${number}`

/** Reads the end of the log. */
export async function readTip(tx: Transaction): Promise<Tip> {
  const head = await readHead(tx)
  if (!head) return { number: 0, start: 0, previous: null, frontier: Frontier.empty() }
  const frontier = Frontier.at(head.number, await readNodes(tx, frontierNodes(head.number)))
  return {
    number: head.number,
    start: head.start + head.size,
    previous: Buffer.from(head.subtrees.subarray(0, 32)),
    frontier,
  }
}

/**
 * Appends a batch to the log, in the caller's transaction, which holds the chain's lock: its leaves, its header, its
 * place in the tree, its signature, and the rows themselves, sealed, until ClickHouse has them. Answers it, and the log's
 * end after it, which holds once the transaction has committed.
 */
export async function appendBatch(
  tx: Transaction,
  { keyring, signers, clock }: Deps,
  { state, tip, kind, rows }: { state: ChainState; tip: Tip; kind: Header['kind']; rows: EventRow[] },
): Promise<{ batch: Batch; tip: Tip }> {
  const number = tip.number + 1
  const chained = chain(rows, number)
  const hashes = chained.map(leafHash)
  const root = rootOf(hashes)
  const signer = await signers(tx, state.keyId)
  const at = clock.now()
  const header: Header = {
    at: at.toISOString(),
    key: signer.id,
    kind,
    log: state.logId,
    number,
    previous: tip.previous && base64(tip.previous),
    root: base64(root),
    size: rows.length,
    start: tip.start,
  }
  const own = headerHash(header)
  const frontier = tip.frontier.copy()
  const subtrees = Buffer.concat(frontier.append(own))
  const checkpoint = checkpointText({ origin: originOf(state.logId), size: number, root: frontier.root() })
  await insertBatch(tx, {
    ...{ number, kind, size: rows.length, start: tip.start, root, previous: tip.previous, at, keyId: signer.id },
    ...{ subtrees, signature: signer.sign(checkpoint) },
    ...rangeOf(rows.map(({ id }) => id)),
    leaves: packLeaves(rows.map(({ id }, i) => ({ id, hash: hashes[i]! }))),
  })
  const lines = linesOf(chained)
  await tx.insert(auditPending).values({ number, ...sealLines(keyring, number, lines) })
  const batch = { number, root, ids: rows.map(({ id }) => id), lines }
  return { batch, tip: { number, start: tip.start + rows.length, previous: own, frontier } }
}

export const linesOf = (rows: ChainedRow[]): string => rows.map((row) => JSON.stringify(row)).join('\n')

/** Rows wait as they are sealed elsewhere: where somebody was stands in no database of ours in clear. */
export function sealLines(keyring: Keyring, number: number, lines: string) {
  const { dataKeyId, sealed } = keyring.seal(Bun.zstdCompressSync(lines, { level: 1 }), pendingContext(number))
  return { dataKeyId, rows: sealed }
}

export async function openLines(
  keyring: Keyring,
  pending: { number: number; rows: Uint8Array; dataKeyId: string },
): Promise<ChainedRow[]> {
  const { number, rows, dataKeyId } = pending
  const packed = await keyring.open({ dataKeyId, sealed: rows }, pendingContext(number))
  const lines = Buffer.from(Bun.zstdDecompressSync(packed)).toString()
  return lines.split('\n').map((line) => JSON.parse(line) as ChainedRow)
}
