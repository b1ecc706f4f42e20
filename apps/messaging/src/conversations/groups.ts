import {
  type Conversation,
  type ConversationChange,
  type ConversationNews,
  channelStream,
  type EventType,
  MAX_PARTICIPANTS,
} from '@conntext/contracts'
import { conversations } from '@conntext/db-communications'
import { accessErrors, actorOf, type Caller, channelNotFound, inScope } from '@conntext/http'
import { appendEvents } from '@conntext/streams'
import { eq } from 'drizzle-orm'
import { messagingAudit, recordAudit } from '../audit.ts'
import { listUnwilling } from '../contacts/queries.ts'
import { type Changed, type Transaction, tables } from '../streams/writer.ts'
import { conversationErrors } from './errors.ts'
import { owePurge } from './purge.ts'
import {
  deleteParticipant,
  findConversation,
  findParticipantIds,
  insertParticipants,
  readConversation,
} from './queries.ts'
import { assertRoom, type ConversationDeps, checkName } from './service.ts'
import type { ConversationRow } from './shape.ts'

/** A group as it is under its stream's lock: its people in the order in which they came. */
type Group = { row: ConversationRow; people: string[] }

const UPDATED: EventType = 'conversation.updated'

/**
 * Gives a group another name, or takes it away. The same name changes nothing.
 * @throws channel.notFound (404), conversation.notAGroup (409), conversation.unstorable (422)
 */
export async function renameGroup(
  deps: ConversationDeps,
  caller: Caller,
  { id, name }: { id: string; name: string | null },
): Promise<Conversation> {
  if (name !== null) checkName(name)
  return change(deps, id, async (tx, { row, people }) => {
    assertTakesPart(people, caller.userId)
    if (row.name === name) return undefined
    await recordAudit(tx, [messagingAudit('conversation.renamed', actorOf(caller), id, {})])
    return { name, ownerId: row.ownerId, people }
  })
}

/**
 * Adds a member to a group; they may read all that was said in it. Whoever is in it already stays.
 * @throws channel.notFound, conversation.memberNotFound (404), conversation.notAccepted (403) where they don't want to be
 * written to by the caller, conversation.notAGroup, .full, .tooMany (409)
 */
export async function addParticipant(
  deps: ConversationDeps,
  caller: Caller,
  { id, userId }: { id: string; userId: string },
): Promise<Conversation> {
  const grant = await deps.guard.grant(userId)
  if (grant?.standing !== 'active') throw conversationErrors.memberNotFound()
  return change(deps, id, async (tx, { row, people }) => {
    assertTakesPart(people, caller.userId)
    if (people.includes(userId)) return undefined
    if (people.length >= MAX_PARTICIPANTS) throw conversationErrors.full()
    if ((await listUnwilling(tx, caller.userId, [userId])).length > 0) throw conversationErrors.notAccepted()
    await assertRoom(tx, [userId])
    const joined = { conversationId: id, userId, joinedAt: deps.clock.now() }
    if (!(await insertParticipants(tx, [joined]))) throw conversationErrors.memberNotFound()
    await recordAudit(tx, [messagingAudit('conversation.participantAdded', actorOf(caller), id, { userId })])
    return { name: row.name, ownerId: row.ownerId, people: [...people, userId] }
  })
}

/**
 * Takes somebody out of a group: its owner anybody, the others themselves. When the owner leaves, it is the one's who
 * has been in it longest; when nobody is left, all that was said in it goes.
 * @throws channel.notFound, conversation.notAParticipant (404), access.forbidden, conversation.notOwner (403),
 * conversation.notAGroup (409)
 */
export async function removeParticipant(
  deps: ConversationDeps,
  caller: Caller,
  { id, userId }: { id: string; userId: string },
): Promise<void> {
  await assertMayRemove(deps, caller, { id, userId })
  await change(deps, id, async (tx, { row, people }) => {
    assertTakesPart(people, caller.userId)
    if (userId !== caller.userId && row.ownerId !== caller.userId) throw conversationErrors.notOwner()
    if (!people.includes(userId)) throw conversationErrors.notAParticipant()
    await recordAudit(tx, [messagingAudit('conversation.participantRemoved', actorOf(caller), id, { userId })])
    return takeOut(tx, { row, people }, userId)
  })
}

/** Leaving is for whoever is silenced, too. @throws access.forbidden (403) */
async function assertMayRemove(
  { guard, refused }: ConversationDeps,
  caller: Caller,
  { id, userId }: { id: string; userId: string },
): Promise<void> {
  const leaves = userId === caller.userId && inScope(caller, 'message.send')
  if (leaves || (await guard.allows(caller, 'message.send', id))) return
  refused(caller, 'message.send', 'DELETE /v1/dms/:channelId/participants/:userId')
  throw accessErrors.forbidden('This needs the permission message.send.')
}

/** Takes somebody who is gone out of a group; nothing where they aren't in it. */
export async function takeOutDeparted(deps: ConversationDeps, id: string, userId: string): Promise<void> {
  await change(deps, id, async (tx, group) => (group.people.includes(userId) ? takeOut(tx, group, userId) : undefined))
}

async function takeOut(tx: Transaction, { row, people }: Group, userId: string): Promise<After> {
  await deleteParticipant(tx, row.id, userId)
  const rest = people.filter((one) => one !== userId)
  if (rest.length === 0) await owePurge(tx, row.id)
  return { name: row.name, ownerId: row.ownerId === userId ? (rest[0] ?? null) : row.ownerId, people: rest }
}

type After = { name: string | null; ownerId: string | null; people: string[] }

/**
 * Runs a change of a group under its stream's lock, appends the event that tells of it, and sees to it that everybody
 * who has to know is told before the answer. Undefined from `decide`: nothing has changed.
 */
async function change(
  deps: ConversationDeps,
  id: string,
  decide: (tx: Transaction, group: Group) => Promise<After | undefined>,
): Promise<Conversation> {
  const { news, changed } = await deps.write([channelStream(id)], async (tx) => {
    const row = await findConversation(tx, id)
    if (!row) throw channelNotFound()
    if (row.kind !== 'group') throw conversationErrors.notAGroup()
    const people = [...((await findParticipantIds(tx, [id])).get(id) ?? [])]
    const after = await decide(tx, { row, people })
    return record(deps, tx, id, after)
  })
  if (changed) {
    await deps.directory.announce(news)
    deps.nudge()
  }
  return news.conversation
}

async function record(
  { clock, directory }: ConversationDeps,
  tx: Transaction,
  id: string,
  after: After | undefined,
): Promise<Changed<{ news: ConversationNews; changed: boolean }>> {
  if (!after) return { answer: { news: (await readConversation(tx, id))!, changed: false }, events: [] }
  const { name, ownerId, people } = after
  const data: ConversationChange = { id, name, ownerId, participantIds: people }
  const at = clock.now().toISOString()
  const events = await appendEvents(tx, tables, [{ stream: channelStream(id), type: UPDATED, at, data }])
  const { seq } = events[0]!
  await tx.update(conversations).set({ name, ownerId, version: seq }).where(eq(conversations.id, id))
  const news = (await readConversation(tx, id))!
  await directory.owe(tx, news)
  return { answer: { news, changed: true }, events }
}

function assertTakesPart(people: string[], userId: string): void {
  if (!people.includes(userId)) throw channelNotFound()
}
