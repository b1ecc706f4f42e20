import type { Permission, VoiceSource } from '@conntext/contracts'
import { accessErrors, type Caller, channelNotFound, type Guard, type Refused } from '@conntext/http'
import { voiceErrors } from './errors.ts'

export type PermitDeps = { guard: Guard; refused: Refused }

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

/** @throws channel.notFound (404) for who may not see it, voice.notAVoiceChannel (409), access.forbidden (403) */
export async function assertMayJoin(deps: PermitDeps, caller: Caller, channelId: string): Promise<void> {
  await assertVoiceChannel(deps.guard, caller, channelId)
  await assertMay(deps, caller, 'voice.connect', { channelId, op: 'voice.join' })
}

/** @throws channel.notFound (404) for who may not see it, voice.notAVoiceChannel (409) */
export async function assertVoiceChannel(guard: Guard, caller: Caller, channelId: string): Promise<void> {
  if (!(await guard.allows(caller, 'channel.view', channelId))) throw channelNotFound()
  const { snapshot } = await guard.authority()
  const channel = snapshot.channels.find(({ id }) => id === channelId)
  if (!channel) throw channelNotFound()
  if (channel.type !== 'voice') throw voiceErrors.notAVoiceChannel()
}

/** What of being in a call somebody may do now; `connect` without seeing the channel is nothing. */
export async function standing(guard: Guard, caller: Caller, channelId: string) {
  const may = (permission: Permission) => guard.allows(caller, permission, channelId)
  const [view, connect, speak, video, share] = await Promise.all([
    may('channel.view'),
    may('voice.connect'),
    may('voice.speak'),
    may('voice.video'),
    may('voice.share'),
  ])
  const sources: Record<VoiceSource, boolean> = { microphone: true, camera: video, screen: share, screenAudio: share }
  return { connect: view && connect, speak, sources }
}
