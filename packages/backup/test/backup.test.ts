import { expect, test } from 'bun:test'
import { verifyBackup, writeBackup } from '../src/index.ts'
import { restoreBackup } from '../src/restore/restore.ts'
import { PASSPHRASE, startWorld, sumsOf } from './world.ts'

const secret = { passphrase: PASSPHRASE }

test('what was backed up while everybody goes on writing is restored row by row and byte by byte', async () => {
  await using world = await startWorld()
  for (let i = 0; i < 50; i += 1) await Promise.all([world.addMessage(), world.addUser()])
  // More than a socket takes at once, in both directions.
  for (let i = 0; i < 300; i += 1) await world.addMessage(`${i} ${'long '.repeat(5_000)}`)
  for (let i = 0; i < 5; i += 1) await world.addObject()
  await world.addEvents(1_000)
  const going = new AbortController()
  const load = (async () => {
    while (!going.signal.aborted) {
      await Promise.all([world.addMessage(), world.addUser(), world.addObject(1_000), world.addEvents(1)])
    }
  })()
  let sums: Record<string, string>[] = []
  const { manifest, stored } = await writeBackup(
    world.source,
    world.order({
      async onSnapshots({ communications, serverDetails }) {
        sums = [
          await sumsOf(world.communications.adminUrl, communications),
          await sumsOf(world.details.adminUrl, serverDetails),
        ]
      },
    }),
  )
  going.abort()
  await load
  expect((await world.target.head('one.age')).size).toBe(stored.size)
  expect(manifest.missing).toEqual([])
  expect(sums[0]).not.toEqual(await sumsOf(world.communications.adminUrl))

  const verified = await verifyBackup((await world.target.get('one.age')).body, secret)
  const server = await world.emptyServer(verified)
  await restoreBackup((await world.target.get('one.age')).body, secret, server)

  const settled = (all: Record<string, string>) =>
    Object.fromEntries(Object.entries(all).filter(([name]) => name !== 'streams'))
  expect(settled(await sumsOf(server.urls.communications))).toEqual(settled(sums[0]!))
  expect(settled(await sumsOf(server.urls.serverDetails))).toEqual(settled(sums[1]!))
}, 180_000)
