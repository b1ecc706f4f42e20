import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type VerifiedBackup, verifyBackup } from '@conntext/backup'
import { StartError } from '@conntext/kernel'
import { loadConfig } from '../../config.ts'
import { verifyAudit } from '../audit.ts'
import { openDataPlace } from '../place.ts'
import type { Told } from './create.ts'
import { restoreToData } from './data.ts'
import { masterKeysIn } from './master-key-file.ts'
import { findBackupFile, secretOf } from './source.ts'

type Given = { identity?: string | undefined; 'master-key'?: string | undefined; deep: boolean }

/**
 * Reads all of a backup and compares it with its hashes; deep: restores it into a directory that is thrown away, and has
 * the audit log in it verified. Answers what is to be said of it.
 * @throws BackupError, StartError, UsageError
 */
export async function verify(operand: string, given: Given, told: Told): Promise<string[]> {
  const secret = await secretOf(given.identity, process.env)
  const file = await findBackupFile(operand, process.env)
  if (!given.deep) return linesOf(await file.read('MiB', (sealed) => verifyBackup(sealed, secret)))
  const data = await mkdtemp(join(tmpdir(), 'conntext-trial-'))
  try {
    const { CONNTEXT_S3_ENDPOINT: _s3, CONNTEXT_CLICKHOUSE_URL: _clickhouse, ...environment } = process.env
    const config = loadConfig({ ...environment, CONNTEXT_DATA: join(data, 'data') })
    const keys = given['master-key'] ? await masterKeysIn(given['master-key']) : ownKeys()
    const verified = await restoreToData(config, { file, secret, masterKeys: keys }, told)
    const place = await openDataPlace(config)
    try {
      const { intact, lines, said } = await verifyAudit(place, {}, told.log)
      if (!intact) throw new StartError(['The audit log in the backup was tampered with.', ...lines].join('\n'))
      return [...linesOf(verified), `audit log: ${said}`]
    } finally {
      await place.close()
    }
  } finally {
    await rm(data, { recursive: true, force: true })
  }
}

function ownKeys(): Uint8Array[] {
  throw new StartError('A deep verification takes the master key: give --master-key FILE.')
}

function linesOf({ header, snapshot, manifest }: VerifiedBackup): string[] {
  const rows = manifest.parts.reduce((sum, part) => sum + part.rows, 0).toLocaleString('en')
  const { count, bytes } = manifest.objects
  const files = `${count.toLocaleString('en')} files of ${bytes.toLocaleString('en')} bytes`
  return [
    `whole and unchanged: ${rows} rows in ${manifest.parts.length} tables, ${files}`,
    `of ${snapshot.at.serverDetails}, by release ${header.release}, audit log up to batch ${snapshot.lastBatch}`,
    ...manifest.missing.map((key) => `was missing before the backup: ${key}`),
  ]
}
