import { type LogSettings, LogSettingsPatch, type ServerInfo, ServerPatch } from '@conntext/contracts'
import { accessErrors, type Caller } from '@conntext/http'
import { Value } from '@sinclair/typebox/value'
import { type LogSettingsDeps, updateLogSettings } from '../logs/settings.ts'
import { serverErrors } from './errors.ts'
import { findChange } from './history.ts'
import { getServer, type ServerSettingsDeps, updateServer } from './service.ts'

export type RestoreDeps = ServerSettingsDeps & { logSettings: LogSettingsDeps }

type Before = Record<string, unknown>

const LIMITS = Object.keys(ServerPatch.properties.limits.properties)
const LOG_SETTINGS: Record<string, keyof LogSettings> = { logLevel: 'level', logRetentionDays: 'retentionDays' }

/**
 * Takes a change back: what it changed is as it was before it, whatever happened since; the rest stays. It is a change
 * like any other, by the rules of today. @throws server.noSuchChange (404), access.forbidden (403) for whoever could not
 * make that change, what `updateServer` throws
 */
export async function restoreSettings(deps: RestoreDeps, caller: Caller, id: string): Promise<ServerInfo> {
  const change = await findChange(deps.db, id)
  if (!change) throw serverErrors.noSuchChange()
  const before: Before = Object.fromEntries(Object.entries(change.changes).map(([name, { from }]) => [name, from]))
  if (Object.keys(before).every((name) => name in LOG_SETTINGS)) return restoreLogSettings(deps, caller, id, before)
  const isLimit = ([name]: [string, unknown]) => LIMITS.includes(name)
  const limits = Object.fromEntries(Object.entries(before).filter(isLimit))
  const others = Object.fromEntries(Object.entries(before).filter((one) => !isLimit(one)))
  const patch = { ...others, limits }
  // Settings that an older release had are none to give.
  if (!Value.Check(ServerPatch, patch)) throw serverErrors.noSuchChange('This release has other settings.')
  return updateServer(deps, caller, patch, id)
}

async function restoreLogSettings(deps: RestoreDeps, caller: Caller, id: string, before: Before): Promise<ServerInfo> {
  if (!(await deps.guard.allows(caller, 'system.manage'))) {
    throw accessErrors.forbidden('This needs the permission system.manage.')
  }
  const patch = Object.fromEntries(Object.entries(before).map(([name, value]) => [LOG_SETTINGS[name], value]))
  if (!Value.Check(LogSettingsPatch, patch)) throw serverErrors.noSuchChange('This release has other settings.')
  await updateLogSettings(deps.logSettings, caller, patch, id)
  return getServer(deps.db)
}
