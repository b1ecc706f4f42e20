import { existsSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type DataDirectory, readOrCreateSecret } from '@conntext/embedded'

const NAME = 'setup-code'

/** The code with which the first account becomes the owner; it works once. */
export type SetupCode = {
  /** The code while the server has no owner. */
  read(): Promise<string | undefined>
  /** Forgets it: the server has its owner. */
  discard(): Promise<void>
  /** The code, if it was made just now: the one time that it may be shown. */
  fresh: string | undefined
  /** Where it is kept, while it is. */
  file: string | undefined
}

/** The operator's code, or one that is made at the first start and kept (mode 0600) until the server is claimed. */
export function openSetupCode(data: DataDirectory, given: string | undefined, firstStart: boolean): SetupCode {
  const file = join(data.subdirectory('secrets'), NAME)
  if (given !== undefined) {
    return { read: async () => given, discard: async () => {}, fresh: undefined, file: undefined }
  }
  const fresh = firstStart ? readOrCreateSecret(data, NAME, 12) : undefined
  return {
    read: async () => (existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined),
    discard: () => rm(file, { force: true }),
    fresh,
    file: existsSync(file) ? file : undefined,
  }
}
