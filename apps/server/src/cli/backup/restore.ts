import { loadConfig } from '../../config.ts'
import { isSplit } from '../split-place.ts'
import type { Told } from './create.ts'
import { restoreToData } from './data.ts'
import { masterKeysIn } from './master-key-file.ts'
import { findBackupFile, secretOf } from './source.ts'
import { restoreToEngines } from './split.ts'

type Given = { identity?: string | undefined; 'master-key'?: string | undefined }

/**
 * Fills an empty server: a data directory, or the engines of a split deployment. Answers what is to be said of it.
 * @throws BackupError, StartError, UsageError, ConfigError
 */
export async function restore(operand: string, given: Given, told: Told): Promise<string> {
  const secret = await secretOf(given.identity, process.env)
  const masterKeys = given['master-key'] === undefined ? undefined : await masterKeysIn(given['master-key'])
  const file = await findBackupFile(operand, process.env)
  const restoring = { file, secret, masterKeys }
  const split = isSplit(process.env)
  const { snapshot, manifest } = split
    ? await restoreToEngines(process.env, restoring, told)
    : await restoreToData(loadConfig(process.env), restoring, told)
  const missing =
    manifest.missing.length === 0 ? '' : ` ${manifest.missing.length} files were missing before the backup.`
  const next = split ? 'Run conntext migrate, then start the services.' : 'Start the server.'
  return `restored as it was at ${snapshot.at.serverDetails}; everybody has to log in anew.${missing} ${next}`
}
