import type { Operation } from './document.ts'
import { accountRequests } from './requests/account.ts'
import { backupRequests } from './requests/backups.ts'
import { callRequests } from './requests/calls.ts'
import { conversationRequests } from './requests/conversations.ts'
import type { GoodRequests } from './requests/good.ts'
import { loginRequests } from './requests/login.ts'
import { mediaRequests } from './requests/media.ts'
import { memberRequests } from './requests/members.ts'
import { messagingRequests } from './requests/messaging.ts'
import { serverRequests } from './requests/server.ts'
import { webhookRequests } from './requests/webhooks.ts'
import type { Scene } from './scene.ts'
import type { Ask } from './send.ts'

const good: GoodRequests = {
  ...loginRequests,
  ...accountRequests,
  ...memberRequests,
  ...backupRequests,
  ...serverRequests,
  ...messagingRequests,
  ...conversationRequests,
  ...mediaRequests,
  ...callRequests,
  ...webhookRequests,
}

/** A request that succeeds; the owner's where it isn't about somebody's own things. */
export async function goodRequest(operation: Operation, scene: Scene): Promise<Ask> {
  const make = good[operation.id]
  if (!make && (operation.body || operation.parameters.some((one) => one.in === 'path'))) {
    throw new Error(`there is no good request for ${operation.id} yet: add one to requests/`)
  }
  const { as = scene.owner, ...rest } = (await make?.(scene)) ?? {}
  const token = operation.permission === 'public' ? undefined : as.token
  return { path: {}, query: {}, headers: {}, token, ...rest }
}
