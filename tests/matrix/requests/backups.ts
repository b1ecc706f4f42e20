import { eventually } from '@conntext/testing'
import type { Scene } from '../scene.ts'

type Backup = { id: string; state: string }
const PATH = '/v1/system/backups'

/** One is made at a time. */
async function nothingUnderWay({ call, owner }: Scene): Promise<void> {
  await eventually(async () => {
    const { items } = (await call('GET', PATH, { token: owner.token })) as { items: Backup[] }
    return items.some(({ state }) => state === 'waiting' || state === 'running') ? undefined : true
  }, 60_000)
}

async function newBackup(scene: Scene): Promise<Backup> {
  await nothingUnderWay(scene)
  const { call, owner } = scene
  const { id } = (await call('POST', PATH, { token: owner.token, body: {} })) as Backup
  await nothingUnderWay(scene)
  return (await call('GET', `${PATH}/${id}`, { token: owner.token })) as Backup
}

const kept = new WeakMap<Scene, Promise<Backup>>()

/** One that stays, to be looked at. */
function keptBackup(scene: Scene): Promise<Backup> {
  const making = kept.get(scene) ?? newBackup(scene)
  kept.set(scene, making)
  return making
}

export const backupRequests = {
  createBackup: async (scene: Scene) => {
    await nothingUnderWay(scene)
    return { body: { logs: false } }
  },
  getBackup: async (scene: Scene) => ({ path: { id: (await keptBackup(scene)).id } }),
  downloadBackup: async (scene: Scene) => ({ path: { id: (await keptBackup(scene)).id } }),
  deleteBackup: async (scene: Scene) => ({ path: { id: (await newBackup(scene)).id } }),
}
