import { changedFields, SERVER_STREAM, type ServerInfo, type ServerPatch, systemActor } from '@conntext/contracts'
import {
  newServerSettings,
  SETTINGS_ID,
  type ServerDetails,
  type SettingsRow,
  toServerInfo,
} from '@conntext/db-server-details'
import { actorOf, type Caller } from '@conntext/http'
import { type Clock, newId } from '@conntext/kernel'
import { announce, type ChangeDeps, change } from '../change.ts'
import { insertChannel } from '../channels/queries.ts'
import { recordAudit, systemAudit } from '../recorder.ts'
import { insertSettings, readSettings, updateSettings } from './queries.ts'

export const getServer = async (db: ServerDetails): Promise<ServerInfo> => toServerInfo(await readSettings(db))

/** Changes the given settings; those that are as they were leave no trace. */
export function updateServer(deps: ChangeDeps, caller: Caller, patch: ServerPatch): Promise<ServerInfo> {
  const { limits, name, ...others } = patch
  const wanted = { ...others, ...limits, ...(name === undefined ? {} : { name: name.trim() }) }
  return change(deps, async (tx, effects, settings) => {
    const changed = changedFields<SettingsRow>(settings, wanted)
    if (!changed) return toServerInfo(settings)
    await updateSettings(tx, wanted)
    const server = toServerInfo({ ...settings, ...wanted })
    effects.audit.push(systemAudit('server.updated', actorOf(caller), null, changed))
    effects.events.push({ stream: SERVER_STREAM, type: 'server.updated', data: server })
    return server
  })
}

type SetUpDeps = Omit<ChangeDeps, 'nudge'> & { clock: Clock; version: string }

/** Makes a new server's settings and its first channel, once, and records that the server has started. */
export async function setUp({ db, bus, log, clock, version }: SetUpDeps): Promise<void> {
  const isNew = await db.transaction(async (tx) => {
    const createdAt = clock.now()
    const made = await insertSettings(tx, { id: SETTINGS_ID, ...newServerSettings, createdAt })
    const started = systemAudit('system.started', systemActor, null, { version })
    if (!made) {
      await recordAudit(tx, [started])
      return false
    }
    const channel = {
      id: newId(),
      name: 'general',
      type: 'text',
      parentId: null,
      topic: null,
      slowModeSeconds: 0,
      position: 0,
    } as const
    await insertChannel(tx, { ...channel, createdAt })
    const { id, name, type } = channel
    await recordAudit(tx, [started, systemAudit('channel.created', systemActor, id, { name, type })])
    return true
  })
  if (isNew) await announce({ bus, log })
}
