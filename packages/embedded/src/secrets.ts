import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, lstatSync, openSync, readFileSync, renameSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Subdirectories } from './data-directory.ts'
import { errorCode, SecretUnusable } from './errors.ts'

/**
 * Reads the secret `<data>/secrets/<name>`, or makes one of `bytes` random bytes on the first start. Returns it as
 * base64url, as the file (mode 0600) has it. Throws `SecretUnusable` for a file that others may read, that isn't a
 * regular one, or that holds fewer than `bytes` bytes.
 */
export function readOrCreateSecret(data: Subdirectories, name: string, bytes: number): string {
  const { directory, file } = place(data, name)
  return readSecret(file, bytes) ?? createSecret(directory, file, bytes)
}

/** The same without making one: undefined where there is none. */
export function findSecret(data: Subdirectories, name: string, bytes: number): string | undefined {
  return readSecret(place(data, name).file, bytes)
}

/** Puts a secret in another one's place, in one step that survives a power cut. */
export function replaceSecret(data: Subdirectories, names: { from: string; to: string }): void {
  const { directory, file } = place(data, names.from)
  renameSync(file, place(data, names.to).file)
  syncDirectory(directory)
}

function place(data: Subdirectories, name: string): { directory: string; file: string } {
  if (!/^[a-z0-9][a-z0-9._-]*$/.test(name)) throw new TypeError(`Not a plain file name: ${name}`)
  const directory = data.subdirectory('secrets')
  return { directory, file: join(directory, name) }
}

function readSecret(file: string, bytes: number): string | undefined {
  let mode: number
  let text: string
  try {
    const stats = lstatSync(file)
    if (!stats.isFile()) throw new SecretUnusable(`The secret ${file} is not a regular file.`)
    mode = stats.mode & 0o777
    if ((mode & ~0o600) !== 0) {
      throw new SecretUnusable(
        `The secret ${file} may be read or changed by other accounts (mode ${mode.toString(8).padStart(4, '0')}). ` +
          `If nobody else can have read it, run: chmod 600 ${file}`,
      )
    }
    text = readFileSync(file, 'utf8').trim()
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    if (error instanceof SecretUnusable) throw error
    throw new SecretUnusable(`The secret ${file} can't be read (${errorCode(error)}).`, { cause: error })
  }
  // Never replaced: what it protects would be lost for good.
  if (!/^[\w-]+$/.test(text) || Buffer.from(text, 'base64url').length < bytes) {
    throw new SecretUnusable(`The secret ${file} doesn't hold ${bytes} bytes as base64url. Restore it from a backup.`)
  }
  return text
}

function createSecret(directory: string, file: string, bytes: number): string {
  const secret = randomBytes(bytes).toString('base64url')
  const temporary = `${file}.${crypto.randomUUID()}.tmp`
  const descriptor = openSync(temporary, 'wx', 0o600)
  try {
    writeSync(descriptor, `${secret}\n`)
    fsyncSync(descriptor)
  } catch (error) {
    unlinkSync(temporary)
    throw error
  } finally {
    closeSync(descriptor)
  }
  renameSync(temporary, file)
  syncDirectory(directory)
  return secret
}

/** Makes a rename in a directory survive a power cut. */
export function syncDirectory(path: string): void {
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
