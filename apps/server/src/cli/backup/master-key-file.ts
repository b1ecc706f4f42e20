import { readFile } from 'node:fs/promises'
import { masterKeysOf } from '@conntext/runtime'
import { UsageError } from '../arguments.ts'

const BYTES = 32

/** The master key in a file, base64url as the server keeps it. @throws UsageError */
export async function masterKeysIn(path: string): Promise<Uint8Array[]> {
  const text = await readFile(path, 'utf8').catch(() => {
    throw new UsageError(`--master-key names a file that can't be read: ${path}`)
  })
  const keys = masterKeysOf(text.trim())
  if (keys.length === 0 || keys.some((key) => key.length !== BYTES)) {
    throw new UsageError(`--master-key names a file that holds no master key: ${path}`)
  }
  return keys
}
