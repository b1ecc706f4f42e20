import {
  type AuthPort,
  type ClientFrame,
  type Conversation,
  type ConversationParticipant,
  channelStream,
  closeCodes,
  type Grant,
  type MessagingPort,
  type OwnUser,
  READY_CONVERSATIONS,
  SERVER_STREAM,
  streamChannel,
  userStream,
} from '@conntext/contracts'
import { accessErrors, type Guard, type Identity, memberRefusal } from '@conntext/http'
import { AppError } from '@conntext/kernel'
import type { Access } from '../access/access.ts'
import { type Conversations, mayTakePart, nothing, type Participation } from '../access/conversations.ts'
import type { View, Visibility } from '../access/view.ts'
import type { GatewayConfig } from '../config.ts'
import { gatewayErrors } from '../errors.ts'
import type { Choice } from '../presence/own.ts'
import type { Presences } from '../presence/presences.ts'
import type { StreamHub } from '../streams/hub.ts'
import type { StreamSource } from '../streams/source.ts'
import type { VoiceStates } from '../voice/states.ts'
import type { Connection } from './connection.ts'
import { type Connections, PRESENCE_TOPIC } from './connections.ts'
import type { Replay } from './replay.ts'

export type IdentifyFrame = Extract<ClientFrame, { op: 'identify' }>

export type IdentifyDeps = {
  config: GatewayConfig
  guard: Guard
  auth: Pick<AuthPort, 'ownUser'>
  messaging: Pick<MessagingPort, 'readStates' | 'contactsOf'>
  access: Access
  conversations: Conversations
  hub: StreamHub
  source: StreamSource
  connections: Connections
  presences: Presences
  voiceStates: VoiceStates
  replay: Replay
}

/** A refusal: what is answered, and with what the connection is closed. */
export type Refusal = { error: AppError; code: number; reason: string }

const refusal = (error: AppError, code: number, reason: string): Refusal => ({ error, code, reason })

/** Whom somebody has blocked, and who may begin a conversation with them. */
type Contacts = Awaited<ReturnType<MessagingPort['contactsOf']>>

type Outlook = {
  view: View
  visibility: Visibility
  participation: Participation
  grant: Grant
  resets: Set<string>
  /** Up to where each channel has been read. */
  lastRead: Map<string, number>
  contacts: Contacts
}

/**
 * From a token to a living connection: `ready`, then what was missed, then what comes, without a gap or a repeat
 * between them. Answers a refusal instead where there is one. `choice` is what the frame says of its presence; `reply` is
 * called right after `ready`.
 */
export async function identify(
  deps: IdentifyDeps,
  connection: Connection,
  frame: IdentifyFrame,
  choice: Choice,
  reply: () => void,
): Promise<Refusal | undefined> {
  const identity = await deps.guard.identify(frame.token)
  if (!identity) return badToken()
  if (!connection.open) return undefined
  const { maxConnectionsPerUser } = deps.config.socket
  if (deps.connections.ofUser(identity.userId).length >= maxConnectionsPerUser) {
    return refusal(gatewayErrors.tooManyConnections(), closeCodes.tooManyConnections, 'too many connections')
  }
  deps.connections.identified(connection, identity)
  // A session that ended while the token was being looked at was not known here then, and is known there now.
  if (!(await deps.guard.identify(frame.token))) return badToken()
  const [grant, user] = await Promise.all([
    deps.guard.grant(identity.userId),
    deps.auth.ownUser({ userId: identity.userId }),
  ])
  if (grant?.standing === 'left') return noMember(accessErrors.notAMember())
  if (!user) return badToken()
  const cursors = cursorsOf(frame, identity)
  const settled = await settle(deps, connection, identity, cursors, (found) => {
    begin(deps, connection, {
      user: shownTo(identity, user),
      cursors,
      choice,
      outlook: found,
      resumed: frame.cursors !== undefined,
    })
    reply()
    deps.replay.step(connection)
  })
  if (settled instanceof AppError) return noMember(settled)
  await deps.replay.finish(connection)
  return undefined
}

// Of its owner's account an API token gets to know what everybody does.
const shownTo = ({ scopes }: Identity, user: OwnUser): OwnUser =>
  scopes === null ? user : { ...user, email: null, emailVerified: false }

const noMember = (error: AppError): Refusal => refusal(error, closeCodes.authenticationFailed, error.title)

const badToken = (): Refusal =>
  refusal(accessErrors.unauthenticated('The token is not valid.'), closeCodes.authenticationFailed, 'bad token')

/** Cursors by the streams' inner names. */
function cursorsOf(frame: IdentifyFrame, { userId }: Identity): Map<string, number> {
  const own = userStream(userId)
  return new Map(Object.entries(frame.cursors ?? {}).map(([name, seq]) => [name === 'user' ? own : name, seq]))
}

/**
 * Brings together what must hold at one instant: roles, snapshot, conversations, streams followed. Whatever changes
 * while the rest is being fetched begins it anew; when all of it holds, `then` runs before anything else can.
 */
async function settle(
  deps: IdentifyDeps,
  connection: Connection,
  identity: Identity,
  cursors: Map<string, number>,
  then: (outlook: Outlook) => void,
): Promise<'done' | 'gone' | AppError> {
  const { guard, messaging, access, conversations, hub, source } = deps
  const personal = userStream(identity.userId)
  const own = [SERVER_STREAM, personal]
  let watched = await conversations.watch(identity.userId)
  try {
    for (;;) {
      await access.settled()
      // Looked at in every round: once the gateway stops, nothing here waits any more.
      if (!connection.open) return 'gone'
      if (watched.isStale()) {
        watched.end()
        watched = await conversations.watch(identity.userId)
        continue
      }
      const version = connection.grantVersion
      const grant = await guard.grantOf(identity)
      if (access.gate.closed) continue
      const view = access.view
      const refused = memberRefusal(view.authority, grant)
      if (refused || !grant) return refused ?? accessErrors.notAMember()
      const visibility = view.visibility(grant)
      watched.update()
      const participation = mayTakePart(access, grant) ? watched.participation : nothing()
      const streams = [...own, ...visibility.streams, ...[...participation.versions.keys()].map(channelStream)]
      await hub.open(streams)
      const told = hub.get(personal)?.head
      const { userId } = identity
      const [resets, { states }, contacts] = await Promise.all([
        impossibleCursors(hub, source, new Set(streams), cursors),
        messaging.readStates({ userId }),
        messaging.contactsOf({ userId }),
      ])
      if (!connection.open) return 'gone'
      // What is read, or who is blocked, meanwhile comes in one's own stream, which `ready` begins where it stands then.
      const current = hub.get(personal)?.head === told
      const holds = current && !access.gate.closed && access.view === view && connection.grantVersion === version
      if (watched.update() || watched.isStale() || !holds || !streams.every((stream) => hub.get(stream))) continue
      const lastRead = new Map(states.map(({ channelId, lastReadSeq }) => [channelId, lastReadSeq]))
      const shown = identity.scopes === null ? contacts : { ...contacts, blocks: [] }
      then({ view, visibility, participation, grant, resets, lastRead, contacts: shown })
      return 'done'
    }
  } finally {
    watched.end()
  }
}

/**
 * The cursors that lie beyond what their streams' owners have. One beyond what this gateway has seen may be right: the
 * news has not come yet.
 */
async function impossibleCursors(
  hub: StreamHub,
  source: StreamSource,
  visible: Set<string>,
  cursors: Map<string, number>,
): Promise<Set<string>> {
  const ahead = [...cursors].filter(([stream, seq]) => visible.has(stream) && seq > (hub.get(stream)?.head ?? 0))
  if (ahead.length === 0) return new Set()
  const names = ahead.map(([stream]) => stream)
  const before = new Map(names.map((stream) => [stream, hub.get(stream)?.head ?? 0]))
  const heads = await source.heads(names)
  for (const stream of names) hub.get(stream)?.expect(heads.get(stream) ?? 0, before.get(stream)!)
  return new Set(ahead.flatMap(([stream, seq]) => (seq > (heads.get(stream) ?? 0) ? [stream] : [])))
}

type Beginning = {
  user: OwnUser
  cursors: Map<string, number>
  choice: Choice
  outlook: Outlook
  resumed: boolean
}

/** Sends `ready` and notes from where each stream goes on. Nothing here waits. */
function begin(deps: IdentifyDeps, connection: Connection, beginning: Beginning): void {
  const { hub, connections, presences, voiceStates, replay, config } = deps
  const { user, cursors, choice, outlook, resumed } = beginning
  const { view, visibility, participation, grant, resets, lastRead, contacts } = outlook
  const own = userStream(user.id)
  const positions = new Map<string, number>()
  const toReset: string[] = []
  const talks = [...participation.versions.keys()]
  for (const stream of [SERVER_STREAM, own, ...visibility.streams, ...talks.map(channelStream)]) {
    const head = hub.get(stream)!.head
    const cursor = cursors.get(stream)
    const missed = cursor === undefined ? 0 : head - cursor
    const reset =
      resets.has(stream) || missed > config.streams.maxReplay || (missed > 0 && !mayReplay(view, grant, stream))
    if (reset) toReset.push(stream)
    positions.set(stream, cursor === undefined || reset ? head : cursor)
  }
  connection.grant = grant
  connections.see(connection, visibility)
  for (const id of talks) connections.joinConversation(connection, id)
  connections.catchUp(connection, positions)
  presences.enter(connection, choice)
  // From now on: what changes after `ready` is told, however long the catching up takes.
  connection.socket.subscribe(connection.topic(PRESENCE_TOPIC))
  const headOf = headReader(hub, positions)
  const presence = presences.readyPart(user.id, partnersOf(participation))
  const voice = voiceStates.forReady(connection)
  const shown = { view, visibility, participation, user, lastRead, contacts, presence, voice }
  connection.send(readyFrame({ ...shown, resumed, headOf }))
  for (const stream of toReset) replay.reset(connection, stream, positions.get(stream)!)
}

/** A cursor is no way around the permission to read what was said before. */
function mayReplay({ authority }: View, grant: Grant, stream: string): boolean {
  const channelId = streamChannel(stream)
  if (channelId === undefined) return true
  return authority.hasChannel(channelId)
    ? authority.allows(grant, 'message.history', channelId)
    : authority.allowsParticipant(grant, 'message.history')
}

/** A client that has more than this gateway yet is not told less than it has. */
const headReader = (hub: StreamHub, positions: Map<string, number>) => (stream: string) =>
  Math.max(hub.get(stream)!.head, positions.get(stream)!)

type ReadyParts = {
  view: View
  visibility: Visibility
  participation: Participation
  user: OwnUser
  resumed: boolean
  lastRead: Map<string, number>
  contacts: Contacts
  /** `presence`, `presences` and `presenceCount`, as JSON text. */
  presence: string
  /** `voiceStates`, as JSON text. */
  voice: string
  headOf(stream: string): number
}

/** Whom one talks with, the newest conversations first. */
function* partnersOf({ newest, versions }: Participation): Generator<string> {
  for (const { id, participants } of newest) if (versions.has(id)) for (const { userId } of participants) yield userId
}

/** One's own mark was looked up later than the conversation, and in step with one's own stream. */
const readUpTo = (own: ConversationParticipant, seq: number): ConversationParticipant => ({
  ...own,
  readSeq: Math.max(own.readSeq, seq),
  deliveredSeq: Math.max(own.deliveredSeq, seq),
})

/** `ReadyFrame` as text, from parts that were made once for everybody. */
function readyFrame(parts: ReadyParts): string {
  const { view, visibility, participation, user, resumed, lastRead, contacts, presence, voice, headOf } = parts
  const channels: string[] = []
  const streams = [`"server":${headOf(SERVER_STREAM)}`, `"user":${headOf(userStream(user.id))}`]
  let index = 0
  for (const id of visibility.channels) {
    const stream = visibility.streams[index++]!
    const head = headOf(stream)
    channels.push(`${view.channelJson(id, head).slice(0, -1)},"lastReadSeq":${lastRead.get(id) ?? 0}}`)
    streams.push(`"${stream}":${head}`)
  }
  for (const id of participation.versions.keys()) streams.push(`"${channelStream(id)}":${headOf(channelStream(id))}`)
  const dms = participation.newest
    .filter((one) => participation.versions.has(one.id))
    .slice(0, READY_CONVERSATIONS)
    .map((one): Conversation => {
      const participants = one.participants.map((other) =>
        other.userId === user.id ? readUpTo(other, lastRead.get(one.id) ?? 0) : other,
      )
      return { ...one, participants, lastSeq: headOf(channelStream(one.id)) }
    })
  return (
    `{"op":"ready","user":${JSON.stringify(user)},"server":${view.serverJson},"roles":${view.rolesJson},` +
    `"channels":[${channels.join()}],"dms":${JSON.stringify(dms)},` +
    `"blocks":${JSON.stringify(contacts.blocks)},"dmsFrom":"${contacts.dmsFrom}",${presence},"voiceStates":${voice},` +
    `"streams":{${streams.join()}},"resumed":${resumed}}`
  )
}
