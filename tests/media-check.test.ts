import { expect, test } from 'bun:test'
import { readdir, unlink } from 'node:fs/promises'
import { join as joinPath } from 'node:path'
import { SETUP_CODE, startServerProcess } from '@conntext/testing'
import { conntext } from './command/conntext.ts'
import { join } from './conversation/people.ts'
import { upload } from './conversation/scenario.ts'

test('an operator has the files checked and repaired, while the server runs and while it does not', async () => {
  await using server = await startServerProcess()
  const owner = await join(server.url, 'olga', { setupCode: SETUP_CODE })
  await upload(owner, new TextEncoder().encode('kept'), 'kept.txt')
  const doomed = await upload(owner, new TextEncoder().encode('doomed'), 'doomed.txt')
  const check = (...args: string[]) => conntext(server.data, 'media', 'check', ...args)
  expect(await check()).toMatchObject({ code: 0, out: 'all files are in order' })

  const objects = joinPath(server.data, 'media', 'objects')
  const paths = await readdir(objects, { recursive: true })
  await unlink(joinPath(objects, paths.find((path) => path.endsWith(doomed.id))!))
  expect((await check()).out).toBe('1 files whose bytes are gone')
  expect((await check('--repair')).out).toBe('1 files whose bytes are gone: marked as lost')
  const headers = { authorization: `Bearer ${await owner.api.accessToken()}` }
  const media = await fetch(`${server.url}/v1/media/${doomed.id}`, { headers })
  expect(await media.json()).toMatchObject({ state: 'lost' })

  owner.gateway.close()
  await server.kill('SIGTERM')
  expect((await check()).out).toBe('1 files whose bytes are gone')
  expect((await conntext(server.data, 'media', 'check', '--master')).code).toBe(2)
}, 120_000)
