import {
  type Block,
  type ContactSettings,
  changedFields,
  channelStream,
  MAX_BLOCKS,
  type MessagingPort,
  type Page,
  pageLimit,
} from '@conntext/contracts'
import { accessErrors, actorOf, type Caller, type Guard, pageById, pageRequest } from '@conntext/http'
import { messagingAudit, recordAudit } from '../audit.ts'
import { announceMarks, type DeliveryDeps } from '../conversations/delivery.ts'
import type { Directory } from '../conversations/directory.ts'
import { findByKey, keyOfTwo, readConversation } from '../conversations/queries.ts'
import { oweUserEvent } from '../streams/owed.ts'
import type { WriteStreams } from '../streams/writer.ts'
import { blockErrors } from './errors.ts'
import {
  countBlocks,
  deleteBlock,
  findSettings,
  freezeMarks,
  insertBlock,
  listBlocks,
  listGone,
  saveSettings,
  takeContacts,
  thawMarks,
} from './queries.ts'

export type ContactDeps = DeliveryDeps & {
  write: WriteStreams
  guard: Guard
  directory: Directory
  nudge: () => void
}

/**
 * Blocks somebody; nothing where they are blocked. Once it is answered, nothing of theirs comes into the conversation of
 * the two, and they begin none with the caller, whichever instance they are at: what was on its way has come before.
 * @throws block.userNotFound (404), block.tooMany (409), block.oneself (422)
 */
export async function blockUser(deps: ContactDeps, caller: Caller, blockedId: string): Promise<void> {
  const { db, write, guard, clock, directory, nudge } = deps
  const { userId } = caller
  if (blockedId === userId) throw blockErrors.oneself()
  const standing = (await guard.grant(blockedId))?.standing
  if (standing === undefined || standing === 'deleted') throw blockErrors.userNotFound()
  await db.transaction(async (tx) => {
    await takeContacts(tx, userId)
    const at = clock.now()
    if (!(await insertBlock(tx, { userId, blockedId, createdAt: at }))) return
    const gone = await listGone(tx, [userId, blockedId])
    if (gone.includes(userId)) throw accessErrors.unauthenticated()
    if (gone.includes(blockedId)) throw blockErrors.userNotFound()
    if ((await countBlocks(tx, userId)) > MAX_BLOCKS) throw blockErrors.tooMany()
    await oweUserEvent(tx, { userId, type: 'block.added', data: { userId: blockedId }, at })
    await recordAudit(tx, [messagingAudit('block.added', actorOf(caller), userId, {})])
    const conversation = await findByKey(tx, keyOfTwo(userId, blockedId))
    if (conversation) await freezeMarks(tx, conversation.id)
  })
  nudge()
  // Whoever holds the stream has not seen the block; whoever holds it afterwards does.
  const conversation = await findByKey(db, keyOfTwo(userId, blockedId))
  if (!conversation) return
  await write([channelStream(conversation.id)], async () => ({ answer: undefined, events: [] }))
  // Whoever has them in a call looks again.
  const news = await readConversation(db, conversation.id)
  if (news) await directory.announce(news)
}

/** Takes a block back; nothing where there is none. */
export async function unblockUser(deps: ContactDeps, caller: Caller, blockedId: string): Promise<void> {
  const { db, clock, nudge } = deps
  const { userId } = caller
  const conversation = await db.transaction(async (tx) => {
    await takeContacts(tx, userId)
    if (!(await deleteBlock(tx, userId, blockedId))) return undefined
    await oweUserEvent(tx, { userId, type: 'block.removed', data: { userId: blockedId }, at: clock.now() })
    await recordAudit(tx, [messagingAudit('block.removed', actorOf(caller), userId, {})])
    const found = await findByKey(tx, keyOfTwo(userId, blockedId))
    if (found) await thawMarks(tx, found.id)
    return found
  })
  nudge()
  // What either has read meanwhile is no secret any more.
  if (conversation) await Promise.all([userId, blockedId].map((id) => announceMarks(deps, conversation.id, id)))
}

/** Whom the caller has blocked, by their ids. @throws request.invalid (422) for a cursor that no page gave out */
export async function pageBlocks(
  { db }: Pick<ContactDeps, 'db'>,
  { userId }: Caller,
  query: { limit?: string; cursor?: string },
): Promise<Page<Block>> {
  const { after } = pageRequest(query)
  const limit = pageLimit(query.limit)
  const rows = await listBlocks(db, userId, { after, limit: limit + 1 })
  return pageById(rows, limit, ({ id, createdAt }) => ({ userId: id, createdAt: createdAt.toISOString() }))
}

export const readSettings = ({ db }: Pick<ContactDeps, 'db'>, { userId }: Caller): Promise<ContactSettings> =>
  findSettings(db, userId)

/** Once it is answered, nobody begins anything with the caller who may not. */
export async function changeSettings(
  { db, clock, nudge }: ContactDeps,
  caller: Caller,
  settings: ContactSettings,
): Promise<ContactSettings> {
  const { userId } = caller
  await db.transaction(async (tx) => {
    await takeContacts(tx, userId)
    const changed = changedFields(await findSettings(tx, userId), settings)
    if (!changed) return
    await saveSettings(tx, userId, settings)
    if ((await listGone(tx, [userId])).length > 0) throw accessErrors.unauthenticated()
    await oweUserEvent(tx, { userId, type: 'contactSettings.updated', data: settings, at: clock.now() })
    await recordAudit(tx, [messagingAudit('contactSettings.updated', actorOf(caller), userId, changed)])
  })
  nudge()
  return settings
}

/** For whoever else has to know: all at once, since there are never many. */
export async function readContacts(
  { db }: Pick<ContactDeps, 'db'>,
  userId: string,
): ReturnType<MessagingPort['contactsOf']> {
  const [rows, settings] = await Promise.all([listBlocks(db, userId, { limit: MAX_BLOCKS }), findSettings(db, userId)])
  return { blocks: rows.map((row) => row.id), ...settings }
}
