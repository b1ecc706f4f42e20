import type { Permission } from '@conntext/contracts'
import { accessErrors, type Caller, channelNotFound, type Guard, type Refused } from '@conntext/http'
import type { AppError } from '@conntext/kernel'
import { messageErrors } from '../messages/errors.ts'

type AccessDeps = { guard: Guard; refused: Refused }

type Question = {
  channelId: string
  permissions: Permission[]
  route: string
  /** What is answered to whoever may not know of it. */
  hidden?: () => AppError
}

/** That somebody sees a channel and may do all that there. @throws channel.notFound or `hidden` (404), access.forbidden (403) */
export async function assertMayIn(
  { guard, refused }: AccessDeps,
  caller: Caller,
  { channelId, permissions, route, hidden = channelNotFound }: Question,
): Promise<void> {
  const authority = await guard.authority()
  // What is no channel may be a conversation: nobody has webhooks there.
  const sees = authority.hasChannel(channelId) && (await guard.allows(caller, 'channel.view', channelId))
  if (!sees) throw hidden()
  for (const permission of permissions) {
    if (await guard.allows(caller, permission, channelId)) continue
    refused(caller, permission, route)
    throw accessErrors.forbidden(`This needs the permission ${permission}.`)
  }
}

/** @throws message.notATextChannel (409) */
export async function assertTextChannel(guard: Guard, channelId: string): Promise<void> {
  const { channels } = (await guard.authority()).snapshot
  if (channels.find((one) => one.id === channelId)?.type !== 'text') throw messageErrors.notATextChannel()
}
