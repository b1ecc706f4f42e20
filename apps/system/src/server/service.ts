import {
  changedFields,
  type MessagingPort,
  SERVER_STREAM,
  type ServerInfo,
  type ServerPatch,
  systemActor,
} from '@conntext/contracts'
import {
  newServerSettings,
  SETTINGS_ID,
  type ServerDetails,
  type SettingsRow,
  systemOutbox,
  toServerInfo,
} from '@conntext/db-server-details'
import { actorOf, type Caller, type Guard } from '@conntext/http'
import { type Clock, newId } from '@conntext/kernel'
import { enqueue } from '@conntext/outbox'
import { announce, type ChangeDeps, change, type Transaction } from '../change.ts'
import { insertChannel, selectChannel } from '../channels/queries.ts'
import { recordAudit, systemAudit } from '../recorder.ts'
import { serverErrors } from './errors.ts'
import { recordChange } from './history.ts'
import { iconWithdrawal, publishIcon } from './icon.ts'
import { insertSettings, readSettings, updateSettings } from './queries.ts'

export const getServer = async (db: ServerDetails): Promise<ServerInfo> => toServerInfo(await readSettings(db))

export type ServerSettingsDeps = ChangeDeps & {
  guard: Guard
  messaging: Pick<MessagingPort, 'publishImage' | 'withdrawImage'>
}

/**
 * Changes the given settings; those that are as they were leave no trace. `restores` is a change that is taken back by it.
 * @throws server.mfaFirst (409), server.badSystemChannel (422); for an icon media.notFound (404), media.notAnImage, media.imageTooLarge (422)
 */
export async function updateServer(
  deps: ServerSettingsDeps,
  caller: Caller,
  patch: ServerPatch,
  restores: string | null = null,
): Promise<ServerInfo> {
  const { limits, name, ...others } = patch
  const wanted = { ...others, ...limits, ...(name === undefined ? {} : { name: name.trim() }) }
  const shown: string[] = []
  const updating = change(deps, async (tx, effects, settings) => {
    const changed = changedFields<SettingsRow>(settings, wanted)
    if (!changed) return toServerInfo(settings)
    if (changed.changes.requireMfa?.to === true) await assertOwnMfa(deps, caller)
    if (changed.changes.systemChannelId) await assertSystemChannel(tx, deps, caller, wanted.systemChannelId ?? null)
    await updateSettings(tx, wanted)
    await recordChange(tx, { caller, restores, ...changed })
    if (changed.changes.iconId) {
      if (settings.iconId) effects.owed.push(iconWithdrawal(settings.iconId))
      if (wanted.iconId) {
        shown.push(wanted.iconId)
        await publishIcon(deps, { mediaId: wanted.iconId, userId: caller.userId })
      }
    }
    const server = toServerInfo({ ...settings, ...wanted })
    effects.audit.push(systemAudit('server.updated', actorOf(caller), null, changed))
    effects.events.push({ stream: SERVER_STREAM, type: 'server.updated', data: server })
    return server
  })
  return updating.catch(async (error: unknown) => {
    await takeBack(deps, shown)
    throw error
  })
}

/** Otherwise the server would lock out whoever turned it on, and everybody with them. */
async function assertOwnMfa({ guard }: ServerSettingsDeps, caller: Caller): Promise<void> {
  if ((await guard.grantOf(caller))?.mfa !== true) throw serverErrors.mfaFirst('Set up your own second factor first.')
}

/** One that the caller may see: of others they don't know. @throws server.badSystemChannel (422) */
async function assertSystemChannel(
  tx: Transaction,
  { guard }: ServerSettingsDeps,
  caller: Caller,
  channelId: string | null,
): Promise<void> {
  if (channelId === null) return
  const channel = await selectChannel(tx, channelId)
  if (channel?.type === 'text' && (await guard.allows(caller, 'channel.view', channelId))) return
  const errors = [{ path: '/body/systemChannelId', message: 'is no text channel' }]
  throw serverErrors.badSystemChannel({ errors })
}

/** What was shown for a change that didn't come about. */
async function takeBack({ db, log, nudge }: ServerSettingsDeps, shown: string[]): Promise<void> {
  await enqueue(db, systemOutbox, shown.map(iconWithdrawal)).catch((error: unknown) =>
    log.error({ err: error, mediaIds: shown }, 'a picture that did not become the icon could not be taken back'),
  )
  nudge()
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
      messageRetentionDays: null,
      userLimit: null,
      audioBitrate: null,
      videoLimit: null,
      position: 0,
    } as const
    await insertChannel(tx, { ...channel, createdAt })
    const { id, name, type } = channel
    await recordAudit(tx, [started, systemAudit('channel.created', systemActor, id, { name, type })])
    return true
  })
  if (isNew) await announce({ bus, log })
}
