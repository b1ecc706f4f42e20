// Makes the backup that waits, and gets stuck in its middle: an instance in a process of its own. Standard input: Given.
import { openAudit } from '@conntext/db-audit'
import { openServerDetails } from '@conntext/db-server-details'
import { silentLogger, systemClock } from '@conntext/kernel'
import { openFilesystemStore, openS3Store, type S3Options } from '@conntext/object-store'
import { makeWaiting } from '../../src/backups/making.ts'
import { stuckBody } from './backups.ts'

export type Given = {
  serverDetailsUrl: string
  communicationsUrl: string
  clickhouse: { url: string; username: string; password: string; database: string }
  recipient: string
  target: string | S3Options
  /** How large the file is that it gets stuck after. */
  bytes: number
}

const { clickhouse, recipient, target, bytes, ...urls } = (await Bun.stdin.json()) as Given
const log = silentLogger
const objects = {
  async get(key: string) {
    const { body, reached } = stuckBody(bytes)
    void reached.then(() => console.log('stuck'))
    const size = bytes + 1
    return { key, size, etag: 'x', lastModified: new Date(), body, range: undefined, contentLength: size }
  },
}
const deps = {
  db: openServerDetails({ url: urls.serverDetailsUrl, poolSize: 4, applicationName: 'backup process' }),
  audit: openAudit({ ...clickhouse, log }),
  clock: systemClock,
  log,
  version: '1.2.3',
  nudge: () => {},
  backups: {
    ...urls,
    objects,
    target: typeof target === 'string' ? await openFilesystemStore(target) : await openS3Store(target),
    sealing: { recipients: [recipient] },
    everyHours: undefined,
    keep: 2,
  },
}
await makeWaiting(deps, new AbortController().signal)
