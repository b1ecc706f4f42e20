import {
  type Conversation,
  type ConversationNews,
  channelStream,
  MAX_GROUPS,
  type NewConversation,
  type Page,
} from '@conntext/contracts'
import type { Communications } from '@conntext/db-communications'
import {
  accessErrors,
  actorOf,
  type Caller,
  CURSOR_ID,
  CURSOR_NUMBER,
  channelNotFound,
  decodeCursor,
  encodeCursor,
  type Guard,
  inScope,
  type Refused,
} from '@conntext/http'
import { type Clock, newId } from '@conntext/kernel'
import { messagingAudit, recordAudit } from '../audit.ts'
import { isBlocked, listUnwilling } from '../contacts/queries.ts'
import { oweUserEvent } from '../streams/owed.ts'
import type { Transaction, WriteStreams } from '../streams/writer.ts'
import type { Directory } from './directory.ts'
import { conversationErrors } from './errors.ts'
import {
  findByKey,
  findConversation,
  insertConversation,
  insertParticipants,
  keyOfTwo,
  listConversations,
  listInAllGroups,
  readConversation,
  setHidden,
  takeMemberships,
} from './queries.ts'
import type { ConversationRow } from './shape.ts'

export type ConversationDeps = {
  db: Communications
  write: WriteStreams
  guard: Guard
  clock: Clock
  directory: Directory
  refused: Refused
  nudge: () => void
}

export type Opened = { conversation: Conversation; made: boolean }

/**
 * The conversation that the caller has with one other person, made now where there is none; or a new group. However
 * often and from however many sides at once two people ask: they have one.
 * @throws access.forbidden (403) for who is silenced, conversation.notAccepted (403) where somebody doesn't want to be
 * written to by the caller, conversation.withOneself, .userNotFound, .unstorable (422), conversation.left, .blocked, .tooMany
 * (409)
 */
export async function openConversation(
  deps: ConversationDeps,
  caller: Caller,
  { userIds, name, nonce }: NewConversation,
): Promise<Opened> {
  await assertMay(deps, caller, 'message.send', 'POST /v1/dms')
  if (userIds.includes(caller.userId)) throw conversationErrors.withOneself()
  if (name !== undefined) checkName(name)
  const [other] = userIds
  const isGroup = userIds.length > 1 || name !== undefined
  const key = isGroup ? nonceKey(caller.userId, nonce) : keyOfTwo(caller.userId, other!)
  const known = key === null ? undefined : await findByKey(deps.db, key)
  if (known) return reopen(deps, caller, known)
  await assertMembers(deps.guard, userIds)
  const row: ConversationRow = {
    id: newId(),
    kind: isGroup ? 'group' : 'oneToOne',
    key,
    name: name ?? null,
    ownerId: isGroup ? caller.userId : null,
    version: 0,
    createdAt: deps.clock.now(),
    activeAt: deps.clock.now(),
  }
  const news = await make(deps, caller, row, userIds)
  if (!news) return reopen(deps, caller, (await findByKey(deps.db, key!))!)
  await deps.directory.announce(news)
  deps.nudge()
  return { conversation: news.conversation, made: true }
}

const nonceKey = (userId: string, nonce: string | undefined): string | null =>
  nonce === undefined ? null : `${userId} ${nonce}`

/** Undefined where somebody else has been faster. */
function make(
  { db, directory }: ConversationDeps,
  caller: Caller,
  row: ConversationRow,
  others: string[],
): Promise<ConversationNews | undefined> {
  const { id, kind, createdAt } = row
  return db.transaction(async (tx) => {
    await assertWilling(tx, caller, kind, others)
    if (kind === 'group') await assertRoom(tx, [caller.userId, ...others])
    if (!(await insertConversation(tx, row))) return undefined
    const participantIds = [caller.userId, ...others]
    const stays = await insertParticipants(
      tx,
      participantIds.map((userId) => ({
        conversationId: id,
        userId,
        joinedAt: createdAt,
        // Whoever is written to sees nothing before there is something to read.
        hidden: kind === 'oneToOne' && userId !== caller.userId,
      })),
    )
    if (!stays) throw conversationErrors.userNotFound()
    await recordAudit(tx, [messagingAudit('conversation.created', actorOf(caller), id, { kind, participantIds })])
    const news = (await readConversation(tx, id))!
    await directory.owe(tx, news)
    return news
  })
}

/** @throws conversation.notAccepted (403), conversation.blocked (409) for whom the caller has blocked themselves */
async function assertWilling(
  tx: Transaction,
  { userId }: Caller,
  kind: ConversationRow['kind'],
  others: string[],
): Promise<void> {
  if (kind === 'oneToOne' && (await isBlocked(tx, userId, others[0]!))) throw conversationErrors.blocked()
  const unwilling = await listUnwilling(tx, userId, others)
  if (unwilling.length === 0) return
  const errors = unwilling.map((id) => ({
    path: `/body/userIds/${others.indexOf(id)}`,
    message: 'does not take messages from you',
  }))
  throw conversationErrors.notAccepted({ errors })
}

/** Nobody can be put into groups without end, nor by many at once. @throws conversation.tooMany (409) */
export async function assertRoom(tx: Transaction, userIds: string[]): Promise<void> {
  await takeMemberships(tx, userIds)
  if ((await listInAllGroups(tx, userIds, MAX_GROUPS)).length > 0) throw conversationErrors.tooMany()
}

async function reopen(deps: ConversationDeps, { userId }: Caller, { id }: ConversationRow): Promise<Opened> {
  await list(deps, { id, userId, hidden: false })
  const news = await readConversation(deps.db, id)
  const takesPart = news?.conversation.participants.some((one) => one.userId === userId)
  if (!news || !takesPart) throw conversationErrors.left()
  return { conversation: news.conversation, made: false }
}

/** The caller's conversations, the newest activity first. @throws access.forbidden (403) */
export async function pageConversations(
  deps: ConversationDeps,
  caller: Caller,
  { limit, cursor }: { limit: number; cursor: string | undefined },
): Promise<Page<Conversation>> {
  await assertMay(deps, caller, 'channel.view', 'GET /v1/dms')
  const [ms, id] = cursor === undefined ? [] : decodeCursor(cursor, [CURSOR_NUMBER, CURSOR_ID])
  const before = ms === undefined ? undefined : { activeAt: new Date(Number(ms)), id: id! }
  const { items, next } = await listConversations(deps.db, { userId: caller.userId, limit, before })
  return { items, nextCursor: next ? encodeCursor([next.activeAt.getTime(), next.id]) : null }
}

/** @throws channel.notFound (404) */
export async function getConversation({ db }: Pick<ConversationDeps, 'db'>, id: string): Promise<Conversation> {
  const news = await readConversation(db, id)
  if (!news) throw channelNotFound()
  return news.conversation
}

/**
 * Takes a conversation with one other person out of the caller's list, until the next message.
 * @throws channel.notFound (404), access.forbidden (403) for an API token with other scopes, conversation.isAGroup (409)
 */
export async function closeConversation(deps: ConversationDeps, caller: Caller, id: string): Promise<void> {
  const row = await findConversation(deps.db, id)
  if (!row) throw channelNotFound()
  if (!inScope(caller, 'message.send')) {
    deps.refused(caller, 'message.send', 'DELETE /v1/dms/:channelId')
    throw accessErrors.forbidden('This needs the permission message.send.')
  }
  if (row.kind === 'group') throw conversationErrors.isAGroup()
  await list(deps, { id, userId: caller.userId, hidden: true })
}

/**
 * Takes a conversation out of somebody's list or back into it; their other devices are told. Under its stream's lock:
 * what is being written there is in the list's past, or brings it back.
 */
async function list(
  { write, clock, nudge }: ConversationDeps,
  { id, userId, hidden }: { id: string; userId: string; hidden: boolean },
): Promise<void> {
  const isNew = await write([channelStream(id)], async (tx) => {
    if (!(await setHidden(tx, { id, userId, hidden }))) return { answer: false, events: [] }
    const { conversation } = (await readConversation(tx, id))!
    const closed = { type: 'conversation.closed', data: { id, lastSeq: conversation.lastSeq } } as const
    const told = hidden ? closed : ({ type: 'conversation.reopened', data: conversation } as const)
    await oweUserEvent(tx, { ...told, userId, at: clock.now() })
    return { answer: true, events: [] }
  })
  if (isNew) nudge()
}

/** What is not asked of one conversation takes the same as in each of them. @throws access.forbidden (403) */
async function assertMay(
  { guard, refused }: ConversationDeps,
  caller: Caller,
  permission: 'channel.view' | 'message.send',
  route: string,
): Promise<void> {
  if (await guard.allowsParticipant(caller, permission)) return
  refused(caller, permission, route)
  throw accessErrors.forbidden(`This needs the permission ${permission}.`)
}

/** @throws conversation.userNotFound (422) */
async function assertMembers(guard: Guard, userIds: string[]): Promise<void> {
  const grants = await Promise.all(userIds.map((id) => guard.grant(id)))
  const errors = grants.flatMap((grant, index) =>
    grant?.standing === 'active' ? [] : [{ path: `/body/userIds/${index}`, message: 'is no member' }],
  )
  if (errors.length > 0) throw conversationErrors.userNotFound({ errors })
}

/** @throws conversation.unstorable (422) */
export function checkName(name: string): void {
  if (!name.isWellFormed() || name.includes('\0')) throw conversationErrors.unstorable()
}
