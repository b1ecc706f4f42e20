import { rename, writeFile } from 'node:fs/promises'
import { eventually } from './poll.ts'
import { locateCeph } from './radosgw/locate.ts'
import { type S3Server, startRadosgw } from './radosgw/start.ts'

const startMs = 100_000

/** Starts the S3 server of a test run, and leaves in `file` how it is reached, or why it isn't: others wait for that. */
export async function shareRadosgw(file: string): Promise<{ stop(): Promise<void> } | undefined> {
  const tell = async (what: Shared) => {
    await writeFile(`${file}.new`, JSON.stringify(what), { mode: 0o600 })
    await rename(`${file}.new`, file)
  }
  const ceph = locateCeph()
  if (!ceph) return void (await tell({ reason: 'there is none on this machine' }))
  try {
    const { stop, ...server } = await startRadosgw(ceph)
    await tell({ server })
    return { stop }
  } catch (error) {
    await tell({ fault: error instanceof Error ? error.message : String(error) })
    return undefined
  }
}

type Shared = { server: S3Server } | { reason: string } | { fault: string }

let own: Promise<S3Server | undefined> | undefined

/**
 * The S3 server of the test run, or, for a single `bun test` by hand, one of this process's own: Ceph's. Undefined where
 * there is none on this machine; then tests that need it are skipped. `npm test` gets it.
 */
export async function objectStorage(): Promise<S3Server | undefined> {
  own ??= process.env.CONNTEXT_TEST_S3 ? sharedServer(process.env.CONNTEXT_TEST_S3) : ownServer()
  return own
}

async function sharedServer(file: string): Promise<S3Server | undefined> {
  const shared: Shared = await eventually(
    () =>
      Bun.file(file)
        .json()
        .catch(() => undefined),
    startMs,
  )
  if ('fault' in shared) throw new Error(`the S3 server of the test run did not start: ${shared.fault}`)
  return 'server' in shared ? shared.server : undefined
}

async function ownServer(): Promise<S3Server | undefined> {
  const ceph = locateCeph()
  if (!ceph) return undefined
  const { stop: _, ...server } = await startRadosgw(ceph)
  return server
}
