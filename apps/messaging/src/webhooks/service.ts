import {
  changedFields,
  channelStream,
  MAX_WEBHOOKS,
  type NewWebhook,
  type Page,
  type Permission,
  pageLimit,
  type Webhook,
  type WebhookPatch,
  type WebhookWithSecret,
} from '@conntext/contracts'
import type { Communications, CommunicationsExecutor } from '@conntext/db-communications'
import {
  actorOf,
  type Caller,
  channelNotFound,
  cleanName,
  type Guard,
  pageById,
  pageRequest,
  type Refused,
  requestErrors,
} from '@conntext/http'
import { type Clock, newId } from '@conntext/kernel'
import { messagingAudit, recordAudit } from '../audit.ts'
import type { PictureQueue } from '../images/queue.ts'
import type { Transaction, WriteStreams } from '../streams/writer.ts'
import { assertMayIn, assertTextChannel } from './access.ts'
import { webhookErrors } from './errors.ts'
import { hidePicture, showPicture } from './pictures.ts'
import {
  countWebhooks,
  findWebhook,
  insertWebhook,
  listWebhooks,
  removeWebhook,
  saveWebhook,
  type WebhookRate,
  type WebhookRow,
} from './queries.ts'
import { newSecret } from './secret.ts'
import { toWebhook, withSecret } from './shape.ts'

export type WebhookDeps = {
  db: Communications
  write: WriteStreams
  guard: Guard
  clock: Clock
  pictures: Pick<PictureQueue, 'settled'>
  webhookRate: WebhookRate
  refused: Refused
  nudge: () => void
}

const MANAGE: Permission = 'webhook.manage'

const managing = (mentionEveryone: boolean): Permission[] =>
  mentionEveryone ? [MANAGE, 'message.mentionEveryone'] : [MANAGE]

/** @throws request.invalid (422) */
export function checkedName(text: string, path: string): string {
  const name = cleanName(text, { path, most: 80 })
  if (name === null) throw requestErrors.invalid({ errors: [{ path, message: 'must contain something to be seen' }] })
  return name
}

/**
 * Makes a webhook in a text channel; its secret is told this once.
 * @throws channel.notFound, media.notFound (404), access.forbidden (403), webhook.tooMany, message.notATextChannel (409),
 * request.invalid, media.notAnImage, .imageTooLarge (422)
 */
export async function createWebhook(
  deps: WebhookDeps,
  caller: Caller,
  { channelId, name, avatarId = null, mentionEveryone = false }: NewWebhook,
): Promise<WebhookWithSecret> {
  const { guard, clock, write, pictures, webhookRate, nudge } = deps
  const question = { channelId, permissions: managing(mentionEveryone), route: 'POST /v1/webhooks' }
  await assertMayIn(deps, caller, question)
  await assertTextChannel(guard, channelId)
  const cleaned = checkedName(name, '/body/name')
  if (avatarId !== null) await pictures.settled(caller.userId, [avatarId])
  const { secret, secretHash } = newSecret()
  const now = clock.now()
  const row = await write([channelStream(channelId)], async (tx) => {
    await assertMayIn(deps, caller, question)
    await assertRoom(deps, tx, channelId)
    const given = { id: newId(), channelId, name: cleaned, avatarId, mentionEveryone, secretHash }
    const allowance = { allowance: webhookRate.burst, allowanceAt: now }
    const made = await insertWebhook(tx, { ...given, ...allowance, createdBy: caller.userId, createdAt: now })
    await showPicture(tx, made, caller.userId)
    const data = { channelId, name: cleaned, mentionEveryone }
    await recordAudit(tx, [messagingAudit('webhook.created', actorOf(caller), made.id, data)])
    return { answer: made, events: [] }
  })
  nudge()
  return withSecret(row, secret)
}

/** Looked at under the stream's lock: whoever held it before may have emptied a deleted channel. */
async function assertRoom({ guard }: WebhookDeps, tx: Transaction, channelId: string): Promise<void> {
  if (!(await guard.authority()).hasChannel(channelId)) throw channelNotFound()
  if ((await countWebhooks(tx, channelId)) >= MAX_WEBHOOKS) throw webhookErrors.tooMany()
}

/** A channel's webhooks, the oldest first. @throws channel.notFound (404), access.forbidden (403) */
export async function pageWebhooks(
  deps: WebhookDeps,
  caller: Caller,
  { channelId, ...query }: { channelId: string; limit?: string; cursor?: string },
): Promise<Page<Webhook>> {
  await assertMayIn(deps, caller, { channelId, permissions: [MANAGE], route: 'GET /v1/webhooks' })
  const { after } = pageRequest(query)
  const limit = pageLimit(query.limit)
  return pageById(await listWebhooks(deps.db, channelId, { after, limit: limit + 1 }), limit, toWebhook)
}

/** @throws webhook.notFound (404), access.forbidden (403) */
export async function getWebhook(deps: WebhookDeps, caller: Caller, id: string): Promise<Webhook> {
  return toWebhook(await manageable(deps, caller, id, 'GET /v1/webhooks/:webhookId'))
}

async function manageable(
  deps: WebhookDeps,
  caller: Caller,
  id: string,
  route: string,
  db: CommunicationsExecutor = deps.db,
): Promise<WebhookRow> {
  const row = await findWebhook(db, id)
  if (!row) throw webhookErrors.notFound()
  const { channelId } = row
  await assertMayIn(deps, caller, { channelId, permissions: [MANAGE], route, hidden: webhookErrors.notFound })
  return row
}

type Change<T> = { route: string; to?: string | undefined; change(tx: Transaction, row: WebhookRow): Promise<T> }

/**
 * Changes a webhook under the lock of its channel's stream, and of the one where it goes: what it was sending is there
 * before, or doesn't come. Whoever changes it must still be allowed to when the lock is theirs.
 */
async function change<T>(deps: WebhookDeps, caller: Caller, id: string, how: Change<T>): Promise<T> {
  for (;;) {
    const { channelId } = await manageable(deps, caller, id, how.route)
    const streams = [channelId, ...(how.to === undefined ? [] : [how.to])].map(channelStream)
    const changed = await deps.write(streams, async (tx) => {
      const row = await manageable(deps, caller, id, how.route, tx)
      // Somebody else has moved it: another stream is to be locked.
      if (row.channelId !== channelId) return { answer: undefined, events: [] }
      return { answer: { value: await how.change(tx, row) }, events: [] }
    })
    if (!changed) continue
    deps.nudge()
    return changed.value
  }
}

/**
 * Changes a webhook; to put it into another channel takes the permission in both. Nothing where nothing is different.
 * @throws as `createWebhook`, and webhook.notFound (404)
 */
export async function updateWebhook(
  deps: WebhookDeps,
  caller: Caller,
  id: string,
  patch: WebhookPatch,
): Promise<Webhook> {
  const route = 'PATCH /v1/webhooks/:webhookId'
  const given = patch.name === undefined ? patch : { ...patch, name: checkedName(patch.name, '/body/name') }
  const before = await manageable(deps, caller, id, route)
  await assertMayBecome(deps, caller, { ...before, ...given }, before, route)
  if (given.avatarId && given.avatarId !== before.avatarId) {
    await deps.pictures.settled(caller.userId, [given.avatarId])
  }
  const row = await change(deps, caller, id, {
    route,
    to: given.channelId,
    async change(tx, now) {
      const changed = changedFields(toWebhook(now), given)
      if (!changed) return now
      // What was allowed was another change: somebody else may have let it call everyone meanwhile, or kept it from that.
      await assertMayBecome(deps, caller, { ...now, ...given }, now, route)
      if (given.channelId !== undefined && given.channelId !== now.channelId) {
        await assertRoom(deps, tx, given.channelId)
      }
      const after = await saveWebhook(tx, id, given)
      if (after.avatarId !== now.avatarId) {
        await showPicture(tx, after, caller.userId)
        await hidePicture(tx, now)
      }
      const data = { channelId: after.channelId, ...changed }
      await recordAudit(tx, [messagingAudit('webhook.updated', actorOf(caller), id, data)])
      return after
    },
  })
  return toWebhook(row)
}

/** Whoever puts a webhook somewhere, or lets it call everyone, could do that there themselves. */
async function assertMayBecome(
  deps: WebhookDeps,
  caller: Caller,
  { channelId, mentionEveryone }: WebhookRow,
  before: WebhookRow,
  route: string,
): Promise<void> {
  const moves = channelId !== before.channelId
  const gains = mentionEveryone && (moves || !before.mentionEveryone)
  if (moves || gains) await assertMayIn(deps, caller, { channelId, permissions: managing(gains), route })
  if (moves) await assertTextChannel(deps.guard, channelId)
}

/** Gives it another secret; the one before is of no use any more. @throws webhook.notFound (404), access.forbidden (403) */
export async function rotateSecret(deps: WebhookDeps, caller: Caller, id: string): Promise<WebhookWithSecret> {
  const { secret, secretHash } = newSecret()
  const row = await change(deps, caller, id, {
    route: 'POST /v1/webhooks/:webhookId/rotate',
    async change(tx, { channelId }) {
      await recordAudit(tx, [messagingAudit('webhook.secretRotated', actorOf(caller), id, { channelId })])
      return saveWebhook(tx, id, { secretHash })
    },
  })
  return withSecret(row, secret)
}

/** What it has written stays, under its name. @throws webhook.notFound (404), access.forbidden (403) */
export async function deleteWebhook(deps: WebhookDeps, caller: Caller, id: string): Promise<void> {
  await change(deps, caller, id, {
    route: 'DELETE /v1/webhooks/:webhookId',
    async change(tx, row) {
      await removeWebhook(tx, id)
      await hidePicture(tx, row)
      const { channelId, name } = row
      await recordAudit(tx, [messagingAudit('webhook.deleted', actorOf(caller), id, { channelId, name })])
    },
  })
}
