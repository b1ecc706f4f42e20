import {
  type Channel,
  type ChannelPatch,
  type NewChannel,
  type Override,
  type Page,
  type PageQuery,
  pageLimit,
  SERVER_STREAM,
} from '@conntext/contracts'
import { isUniqueViolation } from '@conntext/database'
import { type ChannelRow, type SettingsRow, toChannel, toServerInfo } from '@conntext/db-server-details'
import {
  actorOf,
  type Caller,
  CURSOR_ID,
  CURSOR_NUMBER,
  decodeCursor,
  encodeCursor,
  type Guard,
  pageOf,
  type Refused,
} from '@conntext/http'
import { type Clock, newId } from '@conntext/kernel'
import type { Static } from '@sinclair/typebox'
import { type ChangeDeps, change } from '../change.ts'
import { systemAudit } from '../recorder.ts'
import { channelErrors, overrideErrors } from './errors.ts'
import { authorityWithin, tellOf } from './news.ts'
import { assertConsistent, assertMaySet, setterOf, targetOf } from './override-rules.ts'
import { overrideSet } from './overrides.ts'
import {
  deleteChannelRow,
  insertChannel,
  selectChannel,
  selectChannels,
  selectOverrides,
  upsertOverride,
} from './queries.ts'

export type ChannelDeps = ChangeDeps & { guard: Guard; clock: Clock; refused: Refused }

// Everybody's permission snapshot holds all channels.
const MAX_CHANNELS = 1000

/** The channels that the caller may see, in their order. */
export async function listChannels(
  { db, guard, clock }: ChannelDeps,
  caller: Caller,
  query: Static<typeof PageQuery>,
): Promise<Page<Channel>> {
  const [rows, authority, grant] = await Promise.all([selectChannels(db), guard.authority(), guard.grantOf(caller)])
  const now = clock.now().getTime()
  const visible = rows.filter((row) => grant !== null && authority.allows(grant, 'channel.view', row.id, now))
  const after = query.cursor === undefined ? undefined : decodeCursor(query.cursor, [CURSOR_NUMBER, CURSOR_ID])
  const rest = after ? visible.filter((row) => isBehind(row, Number(after[0]), after[1]!)) : visible
  return pageOf(rest, pageLimit(query.limit), toChannel, (row) => encodeCursor([row.position, row.id]))
}

const isBehind = (row: ChannelRow, position: number, id: string): boolean =>
  row.position > position || (row.position === position && row.id > id)

/** @throws channel.notFound (404) */
export async function getChannel({ db }: ChannelDeps, channelId: string): Promise<Channel> {
  const row = await selectChannel(db, channelId)
  if (!row) throw channelErrors.notFound()
  return toChannel(row)
}

/**
 * Makes a channel, behind all others, with its overrides from the first moment: what begins private is nobody else's
 * news. They are set by the rules of `setOverride`, with what the caller has where the channel is put.
 * @throws channel.nameTaken, channel.tooMany (409), channel.badParent, channel.noSlowMode, channel.noRetention,
 * channel.noCalls (422), what `setOverride` does
 */
export async function createChannel(deps: ChannelDeps, caller: Caller, input: NewChannel): Promise<Channel> {
  const { snapshot } = await deps.guard.authority()
  const { type, parentId = null, topic = null, slowModeSeconds = 0 } = input
  await assertMayPut(deps, caller, parentId)
  assertSlowMode(type, slowModeSeconds)
  assertRetention(type, input.messageRetentionDays ?? null)
  assertCallLimits(type, input)
  const id = newId()
  return nameTakenAsConflict(
    change(deps, async (tx, effects, settings) => {
      const overrides = await firstOverrides(deps, caller, { id, parentId }, input.overrides ?? [])
      const rows = await selectChannels(tx)
      if (rows.length >= MAX_CHANNELS) throw channelErrors.tooMany(`A server has at most ${MAX_CHANNELS} channels.`)
      assertParent(rows, type, parentId)
      const position = (rows.at(-1)?.position ?? -1) + 1
      const name = input.name.trim()
      const createdAt = deps.clock.now()
      const messageRetentionDays = firstRetention(input, settings)
      const { userLimit = null, audioBitrate = null, videoLimit = null } = input
      const row = {
        ...{ id, name, type, parentId, topic, slowModeSeconds, messageRetentionDays, position, createdAt },
        ...{ userLimit, audioBitrate, videoLimit },
      }
      await insertChannel(tx, row)
      for (const override of overrides) await upsertOverride(tx, override)
      const channel = toChannel(row)
      effects.audit.push(systemAudit('channel.created', actorOf(caller), id, { name, type }))
      effects.audit.push(...overrides.map((override) => overrideSet(caller, override)))
      tellOf(effects, await authorityWithin(tx, snapshot), 'channel.created', [channel])
      return channel
    }),
  )
}

async function firstOverrides(
  deps: ChannelDeps,
  caller: Caller,
  channel: { id: string; parentId: string | null },
  given: NonNullable<NewChannel['overrides']>,
): Promise<Override[]> {
  if (new Set(given.map((one) => one.targetId)).size < given.length) throw overrideErrors.repeated()
  const setter = await setterOf(deps, caller, { channelId: channel.parentId ?? undefined, route: 'POST /v1/channels' })
  return Promise.all(
    given.map(async ({ targetId, ...sides }) => {
      assertConsistent(sides)
      const target = await targetOf(deps, targetId)
      assertMaySet(setter, target, undefined, sides)
      return { channelId: channel.id, targetKind: target.kind, targetId, ...sides }
    }),
  )
}

/**
 * Deletes a channel with what it holds; the channels of a category stay, without one. Not where they lean on overrides
 * of the category: what these hid would be open to all.
 * @throws channel.notFound (404), channel.inherited (409)
 */
export async function deleteChannel(deps: ChannelDeps, caller: Caller, channelId: string): Promise<void> {
  const { snapshot } = await deps.guard.authority()
  await change(deps, async (tx, effects, settings) => {
    const before = await authorityWithin(tx, snapshot)
    const rows = await selectChannels(tx)
    const row = rows.find((one) => one.id === channelId)
    if (!row) throw channelErrors.notFound()
    const children = rows.filter((one) => one.parentId === channelId)
    if (children.length > 0 && (await selectOverrides(tx, channelId)).length > 0) {
      throw channelErrors.inherited('Move or delete them, or remove its overrides, first.')
    }
    await deleteChannelRow(tx, channelId)
    if (settings.systemChannelId === channelId) {
      // The database has taken it out of the settings.
      const server = toServerInfo({ ...settings, systemChannelId: null })
      effects.events.push({ stream: SERVER_STREAM, type: 'server.updated', data: server })
    }
    effects.audit.push(systemAudit('channel.deleted', actorOf(caller), channelId, { name: row.name }))
    effects.owed.push({ id: newId(), topic: 'channelDeleted', payload: { channelId } })
    if (before.isPublic(channelId)) {
      effects.events.push({ stream: SERVER_STREAM, type: 'channel.deleted', data: { id: channelId } })
    }
    const orphans = children.map((one) => toChannel({ ...one, parentId: null }))
    if (orphans.length > 0) tellOf(effects, await authorityWithin(tx, snapshot), 'channel.updated', orphans)
  })
}

/** Whoever puts a channel into a category must be able to manage that one as well: its overrides are inherited. */
export async function assertMayPut({ guard }: ChannelDeps, caller: Caller, parentId: string | null): Promise<void> {
  if (parentId === null || (await guard.allows(caller, 'channel.manage', parentId))) return
  throw badParent('There is no such category.')
}

export function assertParent(rows: ChannelRow[], type: Channel['type'], parentId: string | null): void {
  if (parentId === null) return
  if (type === 'category') throw badParent('A category cannot be in another one.')
  const parent = rows.find((row) => row.id === parentId)
  if (parent?.type !== 'category') throw badParent('There is no such category.')
}

/** @throws channel.noSlowMode (422) */
export function assertSlowMode(type: Channel['type'], seconds: number): void {
  if (type === 'text' || seconds === 0) return
  const errors = [{ path: '/body/slowModeSeconds', message: 'is for text channels' }]
  throw channelErrors.noSlowMode({ errors })
}

/** @throws channel.noRetention (422) */
export function assertRetention(type: Channel['type'], days: number | null): void {
  if (type === 'text' || days === null) return
  const errors = [{ path: '/body/messageRetentionDays', message: 'is for text channels' }]
  throw channelErrors.noRetention({ errors })
}

const CALL_LIMITS = ['userLimit', 'audioBitrate', 'videoLimit'] as const

/** @throws channel.noCalls (422) */
export function assertCallLimits(type: Channel['type'], given: ChannelPatch): void {
  if (type === 'voice') return
  const errors = CALL_LIMITS.filter((name) => (given[name] ?? null) !== null).map((name) => ({
    path: `/body/${name}`,
    message: 'is for voice channels',
  }))
  if (errors.length > 0) throw channelErrors.noCalls({ errors })
}

/** A text channel begins with the server's, unless told. */
const firstRetention = ({ type, messageRetentionDays }: NewChannel, settings: SettingsRow): number | null => {
  if (type !== 'text') return null
  return messageRetentionDays === undefined ? settings.messageRetentionDays : messageRetentionDays
}

const badParent = (message: string) =>
  channelErrors.badParent({ detail: message, errors: [{ path: '/body/parentId', message }] })

export async function nameTakenAsConflict<T>(changing: Promise<T>): Promise<T> {
  try {
    return await changing
  } catch (error) {
    throw isUniqueViolation(error, 'channels_name_key') ? channelErrors.nameTaken() : error
  }
}
