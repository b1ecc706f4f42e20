import { SETTINGS_ID, type ServerDetailsExecutor, type SettingsRow, serverSettings } from '@conntext/db-server-details'
import { eq } from 'drizzle-orm'

export async function readSettings(db: ServerDetailsExecutor): Promise<SettingsRow> {
  const [settings] = await db.select().from(serverSettings).where(eq(serverSettings.id, SETTINGS_ID))
  if (!settings) throw new Error('the server settings have not been made yet')
  return settings
}

/** Makes the settings; false when they are there already. */
export async function insertSettings(tx: ServerDetailsExecutor, settings: typeof serverSettings.$inferInsert) {
  const made = await tx
    .insert(serverSettings)
    .values(settings)
    .onConflictDoNothing()
    .returning({ id: serverSettings.id })
  return made.length > 0
}

export async function updateSettings(tx: ServerDetailsExecutor, patch: Partial<SettingsRow>): Promise<void> {
  await tx.update(serverSettings).set(patch).where(eq(serverSettings.id, SETTINGS_ID))
}
