import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newBackupIdentity } from '@conntext/backup'
import { newId } from '@conntext/kernel'
import { type ObjectStore, openFilesystemStore } from '@conntext/object-store'
import { testCommunications } from '@conntext/testing'
import postgres from 'postgres'
import type { MakingDeps } from '../../src/backups/making.ts'
import type { BackupPlace } from '../../src/service.ts'
import type { System } from './system.ts'

/** What backups of a system are made from, and a directory, or another store, for them. */
export async function backupsOf(system: System, store?: ObjectStore) {
  const directory = await mkdtemp(join(tmpdir(), 'conntext-backups-'))
  const communications = await testCommunications()
  const { identity, recipient } = await newBackupIdentity()
  const target = store ?? (await openFilesystemStore(join(directory, 'backups')))
  const place: BackupPlace = {
    serverDetailsUrl: system.databases.adminUrl,
    communicationsUrl: communications.adminUrl,
    objects: await openFilesystemStore(join(directory, 'media')),
    target,
    sealing: { recipients: [recipient] },
    everyHours: undefined,
    keep: 2,
  }
  return {
    directory,
    communications,
    identity,
    recipient,
    target,
    place,
    /** An instance, as far as it makes backups. */
    maker: (change: Partial<BackupPlace> = {}): MakingDeps => ({
      db: system.databases.system,
      audit: system.audit,
      clock: system.clock,
      log: system.deps.log,
      version: '1.2.3',
      nudge: () => {},
      backups: { ...place, ...change },
    }),
    /** Has a row name a file, which need not be there. */
    async nameObject(): Promise<string> {
      const id = newId()
      const admin = postgres(communications.adminUrl, { max: 1, onnotice: () => {} })
      await admin`insert into media_objects (id, key, uploaded_sha256, uploaded_size, created_at)
        values (${id}, ${`media/${id}`}, ${'0'.repeat(64)}, 1, now())`
      await admin.end()
      return `media/${id}`
    },
    filesIn: async () => (await target.list()).objects.map(({ key }) => key),
    async [Symbol.asyncDispose]() {
      await communications[Symbol.asyncDispose]()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
export type Backups = Awaited<ReturnType<typeof backupsOf>>

/** A body of so many bytes that then says nothing more, until it is let go on or given up. */
export function stuckBody(bytes: number) {
  const reached = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  let left = bytes
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (left > 0) {
        const size = Math.min(left, 65_536)
        left -= size
        controller.enqueue(crypto.getRandomValues(new Uint8Array(size)))
        return
      }
      reached.resolve()
      await gate.promise
      controller.close()
    },
  })
  return { body, reached: reached.promise, release: gate.resolve }
}
