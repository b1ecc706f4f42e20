import type { Permission, VoiceSource } from '@conntext/contracts'
import { accessErrors, type Caller, channelNotFound, type Guard, type Refused } from '@conntext/http'
import type { Conversations } from '../conversations/conversations.ts'
import { voiceErrors } from './errors.ts'

export type PermitDeps = {
  /** Of conversations as well. */
  guard: Guard
  conversations: Pick<Conversations, 'find' | 'accepts' | 'assertAccepted'>
  refused: Refused
}

export const PERMISSION_OF: Record<VoiceSource, Permission> = {
  microphone: 'voice.speak',
  camera: 'voice.video',
  screen: 'voice.share',
  screenAudio: 'voice.share',
}

/** @throws access.forbidden (403), recorded */
export async function assertMay(
  { guard, refused }: PermitDeps,
  caller: Caller,
  permission: Permission,
  { channelId, op }: { channelId: string; op: string },
): Promise<void> {
  if (await guard.allows(caller, permission, channelId)) return
  refused(caller, permission, op)
  throw accessErrors.forbidden(`This needs the permission ${permission}.`)
}

/**
 * @throws channel.notFound (404) for who may not see it, voice.notAVoiceChannel (409), access.forbidden (403); in a
 * conversation of two conversation.notAccepted (403), conversation.blocked (409)
 */
export async function assertMayJoin(deps: PermitDeps, caller: Caller, channelId: string): Promise<void> {
  await assertVoiceChannel(deps.guard, caller, channelId)
  await assertMay(deps, caller, 'voice.connect', { channelId, op: 'voice.join' })
  if (await isConversation(deps.guard, channelId)) await deps.conversations.assertAccepted(channelId, caller.userId)
}

/**
 * A channel with calls, or a conversation.
 * @throws channel.notFound (404) for who may not see it, voice.notAVoiceChannel (409)
 */
export async function assertVoiceChannel(guard: Guard, caller: Caller, channelId: string): Promise<void> {
  if (!(await guard.allows(caller, 'channel.view', channelId))) throw channelNotFound()
  const { snapshot } = await guard.authority()
  const channel = snapshot.channels.find(({ id }) => id === channelId)
  if (channel && channel.type !== 'voice') throw voiceErrors.notAVoiceChannel()
}

/** What a channel lets its calls be; a conversation, and a channel without limits of its own, anything. */
export async function limitsOf(guard: Guard, channelId: string) {
  const { snapshot } = await guard.authority()
  const channel = snapshot.channels.find(({ id }) => id === channelId)
  const { userLimit = null, audioBitrate = null, videoLimit = null } = channel ?? {}
  return { userLimit, audioBitrate, videoLimit }
}

/** What of being in a call somebody may do now; `connect` without seeing the channel is nothing. */
export async function standing(
  { guard, conversations }: Pick<PermitDeps, 'guard' | 'conversations'>,
  caller: Caller,
  channelId: string,
) {
  const may = (permission: Permission) => guard.allows(caller, permission, channelId)
  const [view, connect, speak, video, share, accepted] = await Promise.all([
    may('channel.view'),
    may('voice.connect'),
    may('voice.speak'),
    may('voice.video'),
    may('voice.share'),
    (await isConversation(guard, channelId)) ? conversations.accepts(channelId, caller.userId) : true,
  ])
  const sources: Record<VoiceSource, boolean> = { microphone: true, camera: video, screen: share, screenAudio: share }
  return { connect: view && connect && accepted, speak, sources }
}

/** What is no channel is one, if it is anything. */
const isConversation = async (guard: Guard, channelId: string): Promise<boolean> =>
  !(await guard.authority()).hasChannel(channelId)
