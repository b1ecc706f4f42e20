import { mkdir, open, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ServerDetails } from '@conntext/db-server-details'
import type { Probe } from '@conntext/http'
import { answerWithin, type Clock, gauge, isWithin, type Logger } from '@conntext/kernel'
import { equalHashes } from '@conntext/merkle'
import { latestCheckpoint, rootAt } from './checkpoints.ts'
import { type Note, originOf, parseNotes, wholeNotes } from './note.ts'
import { MissingNode, readHead, readState } from './queries.ts'

const KEEP_EVERY_MS = 5 * 60_000
// For so long a directory is waited for, which may be of a machine that is gone.
const WITHIN_MS = 5_000
const FILE = /^checkpoints-\d{4}-\d{2}-\d{2}\.txt$/

const keptAt = gauge('conntext_audit_checkpoint_kept_timestamp_seconds', 'When a checkpoint was last kept elsewhere')

type Options = { db: ServerDetails; clock: Clock; log: Logger; directory: string; withinMs?: number }

/**
 * Keeps the log's checkpoints in a directory, in a file for each day to which it only adds: where it is of another machine,
 * whoever has this one can't take back what the log once said. Before it adds one it looks whether the log still goes on
 * from the last.
 */
export class KeptCheckpoints {
  readonly #options: Options
  #last: Note | undefined
  #isRead = false
  #at: number | undefined
  #underway: Promise<void> | undefined
  #fault: { detail: string; remedy: string } | undefined
  #end: (() => void) | undefined

  constructor(options: Options) {
    this.#options = options
  }

  start(): void {
    this.#end = keptAt.from(async () => (this.#at === undefined ? [] : [[this.#at / 1000]]))
  }

  /** With what there is by now. */
  async stop(): Promise<void> {
    this.#at = undefined
    await this.keep()
    this.#end?.()
  }

  /** Adds the latest checkpoint, where there is a new one and it is time. What fails is told by the probe, and tried again. */
  async keep(): Promise<void> {
    // Never twice at once: whatever waits for a directory that doesn't answer does so for long.
    this.#underway ??= this.#keep().finally(() => {
      this.#underway = undefined
    })
    const underway = this.#underway
    await answerWithin(this.#options.withinMs ?? WITHIN_MS, () => underway).catch((error: unknown) =>
      this.#failed(error),
    )
  }

  async #keep(): Promise<void> {
    const { clock, log, directory } = this.#options
    const now = clock.now()
    if (!this.#fault && isWithin(KEEP_EVERY_MS, this.#at ?? Number.NEGATIVE_INFINITY, now.getTime())) return
    try {
      if (!this.#isRead) this.#last = await lastKept(directory)
      this.#isRead = true
      const contradiction = await this.#contradiction()
      if (contradiction) {
        if (this.#fault?.detail !== contradiction) log.error({ directory }, contradiction)
        this.#fault = { detail: contradiction, remedy: REMEDY(directory) }
        // Looked for again: the files may be put elsewhere.
        this.#isRead = false
        return
      }
      await this.#add(now)
      this.#at = now.getTime()
      this.#fault = undefined
    } catch (error) {
      this.#failed(error)
    }
  }

  #failed(error: unknown): void {
    const { log, directory } = this.#options
    log.warn({ err: error, directory }, 'a checkpoint of the audit log could not be kept')
    const detail = `The checkpoints of the audit log can't be kept: ${error instanceof Error ? error.message : error}`
    this.#fault = { detail, remedy: `See that ${directory} is there, and can be written by the server.` }
  }

  async #add(now: Date): Promise<void> {
    const { db, directory } = this.#options
    if (!(await readHead(db))) return
    const { note, size } = await latestCheckpoint(db)
    if (this.#last?.size === size) return
    await mkdir(directory, { recursive: true })
    const file = await open(join(directory, `checkpoints-${now.toISOString().slice(0, 10)}.txt`), 'a')
    try {
      // Several instances may write here: one short write each. On a line of its own, whatever is before it.
      await file.write(`\n${note}`)
      await file.sync()
    } finally {
      await file.close()
    }
    this.#last = parseNotes(note)![0]
  }

  /** Why the log is not a continuation of what was kept last. */
  async #contradiction(): Promise<string | undefined> {
    const last = this.#last
    if (!last) return undefined
    const { db } = this.#options
    const [{ logId }, head] = [await readState(db), await readHead(db)]
    const because = (what: string) => `The audit log does not continue the checkpoint that was kept last: ${what}.`
    if (last.origin !== originOf(logId)) return because('it is another log')
    if ((head?.number ?? 0) < last.size) return because(`it had ${last.size} batches, and has ${head?.number ?? 0}`)
    const root = await rootAt(db, last.size).catch((error: unknown) => {
      if (error instanceof MissingNode) return undefined
      throw error
    })
    return root && equalHashes(root, last.root) ? undefined : because(`its first ${last.size} batches are not the same`)
  }

  readonly probe: Probe = {
    name: 'audit checkpoints',
    critical: false,
    remedy: 'See the log.',
    run: async () => this.#fault && { state: 'degraded', ...this.#fault },
  }
}

const REMEDY = (directory: string) =>
  `Run: conntext audit verify --against ${directory}. If the server was restored from a backup, keep the files there elsewhere.`

/** All checkpoints that were kept in a directory, oldest first, as text; empty where there is none. */
export async function keptCheckpoints(directory: string): Promise<string> {
  const texts = await Promise.all((await checkpointFiles(directory)).map((file) => readFile(file, 'utf8')))
  return texts.flatMap(wholeNotes).join('\n')
}

/** The files with checkpoints in a directory, oldest first. */
export async function checkpointFiles(directory: string): Promise<string[]> {
  const names = (await readdir(directory)).filter((name) => FILE.test(name)).sort()
  return names.map((name) => join(directory, name))
}

async function lastKept(directory: string): Promise<Note | undefined> {
  await mkdir(directory, { recursive: true })
  for (const file of (await checkpointFiles(directory)).reverse()) {
    const note = wholeNotes(await readFile(file, 'utf8')).at(-1)
    if (note !== undefined) return parseNotes(note)?.[0]
  }
  return undefined
}
