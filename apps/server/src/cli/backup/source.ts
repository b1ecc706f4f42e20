import { createReadStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { BackupError, counted, type Secret } from '@conntext/backup'
import { type Environment, parseConfig, readEnvironment } from '@conntext/kernel'
import { ObjectNotFound, type ObjectStore } from '@conntext/object-store'
import { backupRules, backupSettings, openBackupTarget, toBackupConfig } from '@conntext/system/settings'
import { Type } from '@sinclair/typebox'
import { UsageError } from '../arguments.ts'
import { progressBar } from '../progress.ts'

const Settings = Type.Object({ ...backupSettings, CONNTEXT_DATA: Type.String({ default: './data' }) })
const MIB = 2 ** 20

export const backupConfigOf = (environment: Environment) => {
  const env = parseConfig(Settings, readEnvironment(environment), backupRules)
  return { ...toBackupConfig(env), passphrase: env.CONNTEXT_BACKUP_PASSPHRASE, data: env.CONNTEXT_DATA }
}

/** Where the settings say that backups are. */
export async function openTarget(environment: Environment): Promise<ObjectStore> {
  const { s3, directory, data } = backupConfigOf(environment)
  return (await openBackupTarget({ s3, directory: directory ?? join(data, 'backups') }))!
}

/** A backup that can be read again and again, each time with a bar of its own. */
export type BackupFile = {
  name: string
  read<T>(what: string, use: (sealed: ReadableStream<Uint8Array>) => Promise<T>): Promise<T>
}

/** A file, or one of those where backups are kept. @throws StartError where there is none */
export async function findBackupFile(operand: string, environment: Environment): Promise<BackupFile> {
  const info = await stat(operand).catch(() => undefined)
  if (info?.isFile()) {
    const body = () => Readable.toWeb(createReadStream(operand)) as unknown as ReadableStream<Uint8Array>
    return fileOf(operand, async () => ({ size: info.size, body: body() }))
  }
  const target = await openTarget(environment)
  const known = await target.head(operand).catch((error: unknown) => {
    throw error instanceof ObjectNotFound || (error as { code?: string }).code === 'invalid_key'
      ? new BackupError(`There is no file ${operand}, and no backup of that name where backups are kept.`)
      : error
  })
  return fileOf(known.key, () => target.get(known.key))
}

const fileOf = (name: string, open: () => Promise<{ size: number; body: ReadableStream<Uint8Array> }>): BackupFile => ({
  name,
  async read(what, use) {
    const { size, body } = await open()
    const bar = progressBar()
    const total = Math.ceil(size / MIB)
    let done = 0
    const told = (bytes: number) => {
      done += bytes
      bar.show({ done: Math.floor(done / MIB), total, what })
    }
    try {
      return await use(counted(body, told))
    } finally {
      bar.end()
    }
  },
})

/** What opens backups: the identities in a file, or the passphrase that is set. @throws UsageError */
export async function secretOf(identityFile: string | undefined, environment: Environment): Promise<Secret> {
  if (identityFile !== undefined) {
    const text = await readFile(identityFile, 'utf8').catch(() => {
      throw new UsageError(`--identity names a file that can't be read: ${identityFile}`)
    })
    const identities = text.split('\n').map((line) => line.trim())
    return { identities: identities.filter((line) => line !== '' && !line.startsWith('#')) }
  }
  const { passphrase } = backupConfigOf(environment)
  if (passphrase !== undefined) return { passphrase }
  throw new UsageError('what opens the backup? Give --identity FILE, or set CONNTEXT_BACKUP_PASSPHRASE')
}
