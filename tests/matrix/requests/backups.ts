import { eventually } from '@conntext/testing'
import type { Scene } from '../scene.ts'

type Backup = { id: string; state: string }
const PATH = '/v1/system/backups'

const isUnderWay = ({ state }: Backup) => state === 'waiting' || state === 'running'

const backupsOf = async ({ call, owner }: Scene): Promise<Backup[]> =>
  ((await call('GET', PATH, { token: owner.token })) as { items: Backup[] }).items

/** One is made at a time: what was begun for another case is given up. */
async function giveUp(scene: Scene): Promise<void> {
  const { attempt, owner } = scene
  for (const { id } of (await backupsOf(scene)).filter(isUnderWay)) {
    await attempt('DELETE', `${PATH}/${id}`, { token: owner.token })
  }
}

async function begin({ call, owner }: Scene): Promise<Backup> {
  return (await call('POST', PATH, { token: owner.token, body: {} })) as Backup
}

async function makeBackup(scene: Scene): Promise<Backup> {
  const { id } = await begin(scene)
  return eventually(async () => {
    const made = (await backupsOf(scene)).find((one) => one.id === id)
    return made && !isUnderWay(made) ? made : undefined
  }, 60_000)
}

const kept = new WeakMap<Scene, Promise<Backup>>()

/** One that stays, to be looked at. */
function keptBackup(scene: Scene): Promise<Backup> {
  const making = kept.get(scene) ?? makeBackup(scene)
  kept.set(scene, making)
  return making
}

export const backupRequests = {
  createBackup: async (scene: Scene) => {
    await giveUp(scene)
    return { body: { logs: false } }
  },
  getBackup: async (scene: Scene) => ({ path: { id: (await keptBackup(scene)).id } }),
  downloadBackup: async (scene: Scene) => ({ path: { id: (await keptBackup(scene)).id } }),
  // Most are still being made when they go.
  deleteBackup: async (scene: Scene) => {
    await giveUp(scene)
    return { path: { id: (await begin(scene)).id } }
  },
}
