import { type Authenticated, type CreatedApiToken, type Permission, type Problem, subjects } from '@conntext/contracts'
import {
  newServerSettings,
  SETTINGS_ID,
  type SettingsRow,
  serverSettings,
  totpSecrets,
} from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import { PASSWORD, type startAuth } from '../stack.ts'

export type Stack = Awaited<ReturnType<typeof startAuth>>

/** Changes the server's settings, as system does. */
export async function setServer(auth: Stack, settings: Partial<SettingsRow>): Promise<void> {
  await auth.database.system
    .insert(serverSettings)
    .values({ id: SETTINGS_ID, ...newServerSettings, ...settings })
    .onConflictDoUpdate({ target: serverSettings.id, set: settings })
  await auth.bus.publish(subjects.authority, '{}')
}

/** Gives the account a second factor. */
export async function withMfa(auth: Stack, userId: string): Promise<void> {
  const secret = { userId, secret: new Uint8Array(20), dataKeyId: newId(), confirmedAt: new Date() }
  await auth.database.auth.insert(totpSecrets).values(secret)
  await auth.bus.publish(subjects.authority, JSON.stringify({ userId }))
}

/** A member with a role of their own, which stands below those that were made before it. */
export async function ranked(auth: Stack, owner: Authenticated, name: string, permissions: Permission[] = []) {
  const who = await auth.member(name)
  const role = await auth.role(owner, name, permissions)
  await auth.give(owner, who.user.id, [role.id])
  return { ...who, id: who.user.id, role }
}

/** An API token of somebody's with these scopes. */
export async function apiToken(auth: Stack, who: Authenticated, scopes: Permission[]): Promise<string> {
  const body = { name: 'test', scopes, password: PASSWORD }
  const made = await auth.request<CreatedApiToken>('POST', '/v1/auth/tokens', { token: who.accessToken, body })
  if (made.status !== 201) throw new Error(made.text)
  return made.body.token
}

export const refusal = (status: number, code: string) => ({ status, body: { code } as Problem })

/** What somebody is refused where a permission is missing. */
export const forbidden = refusal(403, 'access.forbidden')
export const notBelowYou = refusal(403, 'member.notBelowYou')
