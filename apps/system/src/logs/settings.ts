import { changedFields, type LogSettings, type LogSettingsPatch } from '@conntext/contracts'
import type { ServerDetails, SettingsRow } from '@conntext/db-server-details'
import { actorOf, type Caller } from '@conntext/http'
import { type ChangeDeps, change } from '../change.ts'
import { systemAudit } from '../recorder.ts'
import { recordChange } from '../server/history.ts'
import { readSettings, updateSettings } from '../server/queries.ts'

export type LogSettingsDeps = ChangeDeps & {
  /** Has what was changed take effect: beside the answer, which nobody delays. */
  apply(): void
}

export const getLogSettings = async (db: ServerDetails): Promise<LogSettings> => toLogSettings(await readSettings(db))

/**
 * Changes how much is logged, or for how long that is kept; what is as it was leaves no trace. `restores` is a change that
 * is taken back by it. All processes obey within seconds.
 */
export async function updateLogSettings(
  deps: LogSettingsDeps,
  caller: Caller,
  { level, retentionDays }: LogSettingsPatch,
  restores: string | null = null,
): Promise<LogSettings> {
  const wanted = {
    ...(level !== undefined && { logLevel: level }),
    ...(retentionDays !== undefined && { logRetentionDays: retentionDays }),
  }
  const updated = await change(deps, async (tx, effects, settings) => {
    const changed = changedFields<SettingsRow>(settings, wanted)
    if (!changed) return toLogSettings(settings)
    await updateSettings(tx, wanted)
    await recordChange(tx, { caller, restores, ...changed })
    effects.audit.push(systemAudit('logs.settingsChanged', actorOf(caller), null, changed))
    return toLogSettings({ ...settings, ...wanted })
  })
  deps.apply()
  return updated
}

const toLogSettings = ({ logLevel, logRetentionDays }: Pick<SettingsRow, 'logLevel' | 'logRetentionDays'>) => ({
  level: logLevel,
  retentionDays: logRetentionDays,
})
