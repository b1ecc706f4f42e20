import { chownSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface TemporaryDirectory {
  path: string
  [Symbol.dispose](): void
}

/** Removed when it goes out of scope: declare it before what runs in it. */
export function temporaryDirectory({ owner }: { owner?: number } = {}): TemporaryDirectory {
  const path = mkdtempSync(join(tmpdir(), 'conntext-embedded-'))
  if (owner !== undefined) chownSync(path, owner, owner)
  return {
    path,
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }),
  }
}
