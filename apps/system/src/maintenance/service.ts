import {
  type AuditActor,
  type AuditEvent,
  changedFields,
  type Maintenance,
  type MaintenanceUpdate,
  SERVER_STREAM,
  type StreamAppend,
  systemActor,
} from '@conntext/contracts'
import { type ServerDetails, type SettingsRow, systemOutbox, toServerInfo } from '@conntext/db-server-details'
import { actorOf, type Caller } from '@conntext/http'
import { type Clock, newId, systemClock } from '@conntext/kernel'
import { enqueue } from '@conntext/outbox'
import { type ChangeDeps, change, lockSettings, raiseVersion } from '../change.ts'
import { auditEntries, systemAudit } from '../recorder.ts'
import { readSettings, updateSettings } from '../server/queries.ts'
import { maintenanceErrors } from './errors.ts'

export type MaintenanceDeps = ChangeDeps & { clock: Clock }

/** What is owed after a change that was made beside the server: that it is said to everybody. */
export const ANNOUNCEMENT = 'announcement'

type State = Pick<SettingsRow, 'maintenanceSince' | 'maintenanceMessage' | 'maintenanceUntil' | 'maintenanceBy'>

const OVER: State = { maintenanceSince: null, maintenanceMessage: null, maintenanceUntil: null, maintenanceBy: null }

export const getMaintenance = async (db: ServerDetails): Promise<Maintenance> => toMaintenance(await readSettings(db))

/**
 * Begins maintenance, changes what is said of it, or ends it. When it resolves no instance takes changes any more, or all
 * do again. @throws maintenance.overAlready (422)
 */
export function setMaintenance(deps: MaintenanceDeps, caller: Caller, update: MaintenanceUpdate): Promise<Maintenance> {
  return change(deps, async (tx, effects, settings) => {
    const changed = plan(settings, update, actorOf(caller), deps.clock)
    if (!changed) return toMaintenance(settings)
    await updateSettings(tx, changed.state)
    effects.audit.push(changed.event)
    const after = { ...settings, ...changed.state }
    effects.events.push({ stream: SERVER_STREAM, type: 'server.updated', data: toServerInfo(after) })
    return toMaintenance(after)
  })
}

/**
 * The same for the operator beside the server, which learns of it by its outbox, within seconds; one that doesn't run
 * starts with it. @throws maintenance.overAlready (422)
 */
export function operateMaintenance(db: ServerDetails, update: MaintenanceUpdate): Promise<Maintenance> {
  return db.transaction(async (tx) => {
    const settings = await lockSettings(tx)
    const changed = plan(settings, update, systemActor, systemClock)
    if (!changed) return toMaintenance(settings)
    await updateSettings(tx, changed.state)
    await raiseVersion(tx)
    const after = { ...settings, ...changed.state }
    const told: StreamAppend = {
      id: newId(),
      stream: SERVER_STREAM,
      type: 'server.updated',
      at: new Date().toISOString(),
      data: toServerInfo(after),
    }
    await enqueue(tx, systemOutbox, [
      ...auditEntries([changed.event]),
      { id: newId(), topic: ANNOUNCEMENT, payload: {} },
      { id: told.id, topic: 'stream', payload: told },
    ])
    return toMaintenance(after)
  })
}

/** What is to be written, and recorded; undefined where nothing changes. */
function plan(
  settings: SettingsRow,
  update: MaintenanceUpdate,
  actor: AuditActor,
  clock: Clock,
): { state: State; event: AuditEvent } | undefined {
  const now = clock.now()
  const { enabled, message = null, until = null } = update
  if (enabled && until !== null && Date.parse(until) <= now.getTime()) {
    throw maintenanceErrors.overAlready({ errors: [{ path: '/body/until', message: 'must lie ahead' }] })
  }
  const state: State = enabled
    ? {
        maintenanceSince: settings.maintenanceSince ?? now,
        maintenanceMessage: message?.trim() || null,
        maintenanceUntil: until === null ? null : new Date(until),
        maintenanceBy: settings.maintenanceSince ? settings.maintenanceBy : actor.id,
      }
    : OVER
  const changed = changedFields(told(settings), told({ ...settings, ...state }))
  return changed && { state, event: systemAudit('system.maintenanceChanged', actor, null, changed) }
}

const told = (row: State) => {
  const { enabled, message, until } = toMaintenance(row)
  return { enabled, message, until }
}

const toMaintenance = (row: State): Maintenance => ({
  enabled: row.maintenanceSince !== null,
  message: row.maintenanceMessage,
  since: row.maintenanceSince?.toISOString() ?? null,
  until: row.maintenanceUntil?.toISOString() ?? null,
  by: row.maintenanceBy,
})
