import { type Channel, type ChannelPatch, changedFields } from '@conntext/contracts'
import { type ChannelRow, toChannel } from '@conntext/db-server-details'
import { actorOf, type Caller } from '@conntext/http'
import { change } from '../change.ts'
import { systemAudit } from '../recorder.ts'
import { channelErrors } from './errors.ts'
import { authorityWithin, tellOf } from './news.ts'
import { assertMayMove } from './overrides.ts'
import { selectChannels, updateChannelFields, updatePositions } from './queries.ts'
import {
  assertCallLimits,
  assertMayPut,
  assertParent,
  assertRetention,
  assertSlowMode,
  type ChannelDeps,
  nameTakenAsConflict,
} from './service.ts'

/**
 * Changes a channel. With a position it is put there, and those in its way move on by one; a position behind the last
 * one is the last one.
 * @throws channel.notFound (404), channel.nameTaken (409), channel.badParent, channel.noSlowMode,
 * channel.noRetention, channel.noCalls (422); for another category what `setOverride` does
 */
export async function updateChannel(
  deps: ChannelDeps,
  caller: Caller,
  channelId: string,
  patch: ChannelPatch,
): Promise<Channel> {
  const { snapshot } = await deps.guard.authority()
  await assertMayPut(deps, caller, patch.parentId ?? null)
  return nameTakenAsConflict(
    change(deps, async (tx, effects) => {
      const rows = await selectChannels(tx)
      const row = rows.find((one) => one.id === channelId)
      if (!row) throw channelErrors.notFound()
      assertParent(rows, row.type, patch.parentId ?? null)
      assertSlowMode(row.type, patch.slowModeSeconds ?? 0)
      assertRetention(row.type, patch.messageRetentionDays ?? null)
      assertCallLimits(row.type, patch)
      const { parentId = row.parentId } = patch
      if (parentId !== row.parentId) await assertMayMove(tx, deps, caller, { row, parentId })
      const moved = patch.position === undefined ? [] : moveTo(rows, row, patch.position)
      const wanted = wantedFields(row, patch, moved)
      const changed = changedFields<ChannelRow>(row, wanted)
      if (!changed && moved.length === 0) return toChannel(row)
      await updateChannelFields(tx, channelId, wanted)
      await updatePositions(tx, moved)
      const channel = toChannel({ ...row, ...wanted })
      const others = moved.filter((one) => one.id !== channelId).map(toChannel)
      effects.audit.push(systemAudit('channel.updated', actorOf(caller), channelId, changed ?? { changes: {} }))
      tellOf(effects, await authorityWithin(tx, snapshot), 'channel.updated', [channel, ...others])
      return channel
    }),
  )
}

function wantedFields(row: ChannelRow, patch: ChannelPatch, moved: ChannelRow[]) {
  return {
    name: patch.name?.trim() ?? row.name,
    topic: patch.topic === undefined ? row.topic : patch.topic,
    slowModeSeconds: patch.slowModeSeconds ?? row.slowModeSeconds,
    messageRetentionDays:
      patch.messageRetentionDays === undefined ? row.messageRetentionDays : patch.messageRetentionDays,
    userLimit: patch.userLimit === undefined ? row.userLimit : patch.userLimit,
    audioBitrate: patch.audioBitrate === undefined ? row.audioBitrate : patch.audioBitrate,
    videoLimit: patch.videoLimit === undefined ? row.videoLimit : patch.videoLimit,
    parentId: patch.parentId === undefined ? row.parentId : patch.parentId,
    position: moved.find((one) => one.id === row.id)?.position ?? row.position,
  }
}

/** The rows whose position changes when one is put to a place, with their new positions. Gaps are closed on the way. */
function moveTo(rows: ChannelRow[], row: ChannelRow, position: number): ChannelRow[] {
  const order = rows.filter((one) => one.id !== row.id)
  order.splice(position, 0, row)
  return order.flatMap((one, place) => (one.position === place ? [] : [{ ...one, position: place }]))
}
