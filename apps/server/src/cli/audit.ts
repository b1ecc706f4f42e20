import { readFile, stat } from 'node:fs/promises'
import type { AuditFinding, AuditVerification } from '@conntext/contracts'
import { type Logger, StartError } from '@conntext/kernel'
import { openKeyring } from '@conntext/keyring'
import {
  askVerification,
  carryOut,
  getVerification,
  keptCheckpoints,
  latestCheckpoint,
  systemKeys,
} from '@conntext/system/admin'
import { UsageError } from './arguments.ts'
import type { Place } from './place.ts'
import { progressBar } from './progress.ts'

const LOOK_EVERY_MS = 250
/** How long a running server has to take a verification up. */
const TAKEN_UP_WITHIN_MS = 30_000

type Given = { against?: string | undefined; from?: string | undefined; to?: string | undefined }

/** The latest checkpoint, to be kept elsewhere. */
export const printCheckpoint = async ({ db }: Place): Promise<string> => (await latestCheckpoint(db)).note

/**
 * Has the audit log verified: by the running server, whose ClickHouse it is, or by this command where none runs. Answers
 * one line for each finding, and whether the log is as it was written.
 * @throws StartError, UsageError, AppError
 */
export async function verifyAudit(
  place: Place,
  given: Given,
  log: Logger,
): Promise<{ intact: boolean; lines: string[]; said: string }> {
  const request = { ...boundOf('from', given.from), ...boundOf('to', given.to), ...(await checkpointIn(given.against)) }
  const { id } = await askVerification(place.db, request)
  const ours = place.running ? undefined : carryOutHere(place, log)
  const bar = progressBar()
  try {
    const verification = await ended(place, id, bar.show)
    await ours
    return report(verification)
  } finally {
    bar.end()
  }
}

async function carryOutHere(place: Place, log: Logger): Promise<void> {
  const { db, masterKey } = place
  await using audit = await place.openAudit(log)
  const keyring = await openKeyring({ ...systemKeys, db, masterKey, log })
  await carryOut({ db, audit, keyring, log }, new AbortController().signal)
}

async function ended(
  { db, running }: Place,
  id: string,
  show: ReturnType<typeof progressBar>['show'],
): Promise<AuditVerification> {
  const asked = performance.now()
  for (;;) {
    const verification = await getVerification(db, id)
    const { state, events, totalEvents } = verification
    if (state === 'done' || state === 'failed') return verification
    if (running && state === 'waiting' && performance.now() - asked > TAKEN_UP_WITHIN_MS) {
      throw new StartError('The server does not take the verification up. Does its system service run?')
    }
    if (totalEvents !== null) show({ done: events, total: totalEvents, what: 'events' })
    await Bun.sleep(LOOK_EVERY_MS)
  }
}

function report({ state, error, intact, batches, events, findings, findingCount }: AuditVerification) {
  if (state === 'failed') throw new StartError(`The verification failed: ${error}`)
  const looked = `${events.toLocaleString('en')} events in ${batches.toLocaleString('en')} batches`
  const more = findingCount > findings.length ? `, of which the first ${findings.length} are told` : ''
  const said = intact ? `${looked}: all as it was written` : `${looked}: ${findingCount} findings${more}`
  return { intact: intact === true, lines: findings.map(lineOf), said }
}

const lineOf = ({ kind, batch, index, eventId, detail }: AuditFinding): string =>
  [kind.padEnd(21), `${batch ?? '-'}/${index ?? '-'}`.padEnd(12), (eventId ?? '-').padEnd(36), detail].join('  ')

/** A batch's number, or a time. */
function boundOf(name: 'from' | 'to', text: string | undefined) {
  if (text === undefined) return {}
  if (/^[1-9]\d{0,14}$/.test(text)) return { [`${name}Batch`]: Number(text) }
  const time = new Date(text)
  if (Number.isNaN(time.getTime()))
    throw new UsageError(`--${name} takes the number of a batch, or a time such as 2026-03-01T12:00Z`)
  return { [name]: time.toISOString() }
}

/** The checkpoints in a file, or in those of a directory to which the server adds them. */
async function checkpointIn(path: string | undefined) {
  if (path === undefined) return {}
  const read = async () => ((await stat(path)).isDirectory() ? keptCheckpoints(path) : readFile(path, 'utf8'))
  const checkpoint = await read().catch(() => {
    throw new UsageError(`--against names a file or directory that can't be read: ${path}`)
  })
  if (checkpoint === '') throw new UsageError(`--against names a file or directory without checkpoints: ${path}`)
  return { checkpoint }
}
