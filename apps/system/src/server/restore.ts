import { type ServerInfo, ServerPatch } from '@conntext/contracts'
import type { Caller } from '@conntext/http'
import { Value } from '@sinclair/typebox/value'
import { serverErrors } from './errors.ts'
import { findChange } from './history.ts'
import { type ServerSettingsDeps, updateServer } from './service.ts'

const LIMITS = Object.keys(ServerPatch.properties.limits.properties)

/**
 * Takes a change back: what it changed is as it was before it, whatever happened since; the rest stays. It is a change
 * like any other, by the rules of today. @throws server.noSuchChange (404), what `updateServer` throws
 */
export async function restoreSettings(deps: ServerSettingsDeps, caller: Caller, id: string): Promise<ServerInfo> {
  const change = await findChange(deps.db, id)
  if (!change) throw serverErrors.noSuchChange()
  const before = Object.entries(change.changes).map(([name, { from }]) => [name, from] as const)
  const limits = Object.fromEntries(before.filter(([name]) => LIMITS.includes(name)))
  const patch = { ...Object.fromEntries(before.filter(([name]) => !LIMITS.includes(name))), limits }
  // Settings that an older release had are none to give.
  if (!Value.Check(ServerPatch, patch)) throw serverErrors.noSuchChange('This release has other settings.')
  return updateServer(deps, caller, patch, id)
}
