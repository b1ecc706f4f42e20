// This file is made from openapi/asyncapi.yaml by `bun run openapi`.

import type {
  Channel,
  ContactSettings,
  Conversation,
  Message,
  OwnUser,
  Presence,
  Role,
  Server,
  User,
  VoiceState,
} from './types.gen.ts'

export type ChosenPresence = {
  status?: 'online' | 'idle' | 'dnd' | 'invisible'
  customStatus?: {
    text?: string | null
    emoji?: string | null
    expiresAt?: string | null
  } | null
}

export type ConversationChange = {
  /** A UUIDv7 */
  id: string
  name: string | null
  ownerId: string | null
  participantIds: Array<string>
}

export type DeliveryState = {
  /** A UUIDv7 */
  channelId: string
  /** A UUIDv7 */
  userId: string
  deliveredSeq: number
  readSeq: number
}

export type DtlsParameters = {
  role?: 'auto' | 'client' | 'server'
  fingerprints: Array<{
    algorithm: 'sha-1' | 'sha-224' | 'sha-256' | 'sha-384' | 'sha-512'
    value: string
  }>
}

export type GainedChannel = {
  /** A UUIDv7 */
  id: string
  name: string
  type: 'text' | 'voice' | 'category'
  parentId: string | null
  topic: string | null
  /** How long a member waits between two messages */
  slowModeSeconds: number
  messageRetentionDays: number | null
  userLimit: number | null
  audioBitrate: number | null
  videoLimit: number | null
  position: number
  /** RFC 3339, in UTC */
  createdAt: string
  /** The last number of its stream */
  lastSeq: number
  /** How far one has read it; absent where many gained it at once: `GET /v1/unread` tells it */
  lastReadSeq?: number
}

export type IceParameters = {
  usernameFragment: string
  password: string
  iceLite: boolean
}

export type ReadyChannel = {
  /** A UUIDv7 */
  id: string
  name: string
  type: 'text' | 'voice' | 'category'
  parentId: string | null
  topic: string | null
  /** How long a member waits between two messages */
  slowModeSeconds: number
  messageRetentionDays: number | null
  userLimit: number | null
  audioBitrate: number | null
  videoLimit: number | null
  position: number
  /** RFC 3339, in UTC */
  createdAt: string
  /** The last number of its stream */
  lastSeq: number
  /** Up to where one has read it */
  lastReadSeq: number
}

export type RtpCapabilities = {
  codecs: Array<{
    kind: 'audio' | 'video'
    preferredPayloadType: number
    mimeType: string
    clockRate: number
    channels?: number
    parameters?: Record<string, string | boolean | number>
    rtcpFeedback?: Array<{
      type: string
      parameter?: string
    }>
  }>
  headerExtensions?: Array<{
    kind: 'audio' | 'video'
    uri: string
    preferredId: number
    preferredEncrypt?: boolean
    direction?: 'sendrecv' | 'sendonly' | 'recvonly' | 'inactive'
  }>
}

export type RtpParameters = {
  mid?: string
  codecs: Array<{
    payloadType: number
    mimeType: string
    clockRate: number
    channels?: number
    parameters?: Record<string, string | boolean | number>
    rtcpFeedback?: Array<{
      type: string
      parameter?: string
    }>
  }>
  headerExtensions?: Array<{
    uri: string
    id: number
    encrypt?: boolean
    parameters?: Record<string, string | boolean | number>
  }>
  encodings?: Array<{
    ssrc?: number
    rid?: string
    codecPayloadType?: number
    rtx?: {
      ssrc: number
    }
    dtx?: boolean
    scalabilityMode?: string
    maxBitrate?: number
    active?: boolean
    maxFramerate?: number
    scaleResolutionDownBy?: number
    adaptivePtime?: boolean
    priority?: string
    networkPriority?: string
  }>
  rtcp?: {
    cname?: string
    reducedSize?: boolean
    mux?: boolean
  }
  msid?: string
}

export type VoiceConsumer = {
  /** A UUIDv7 */
  id: string
  /** A UUIDv7 */
  producerId: string
  kind: 'audio' | 'video'
  rtpParameters: RtpParameters
  type: 'simple' | 'simulcast' | 'svc'
  /** Until `voice.resumeConsumer` */
  paused: true
}

export type VoiceJoined = {
  /** A UUIDv7 */
  channelId: string
  /** A UUIDv7 */
  callId: string
  /** A UUIDv7 */
  participantId: string
  /** Whether the participation named by `resume` goes on */
  resumed: boolean
  rtpCapabilities: RtpCapabilities
  states: Array<VoiceState>
  producers: Array<VoiceProducer>
  kept: {
    transports: Array<{
      /** A UUIDv7 */
      id: string
      direction: 'send' | 'recv'
    }>
    producerIds: Array<string>
    consumerIds: Array<string>
  }
}

export type VoiceProducer = {
  /** A UUIDv7 */
  id: string
  /** A UUIDv7 */
  userId: string
  kind: 'audio' | 'video'
  source: 'microphone' | 'camera' | 'screen' | 'screenAudio'
  /** By its owner, a moderator or a missing permission */
  paused: boolean
}

export type VoiceStats = {
  transports: Array<{
    /** A UUIDv7 */
    id: string
    direction: 'send' | 'recv'
    iceState: 'new' | 'connected' | 'completed' | 'disconnected' | 'closed'
    dtlsState: 'new' | 'connecting' | 'connected' | 'failed' | 'closed'
    protocol?: 'udp' | 'tcp'
    receiveBitrate?: number
    sendBitrate?: number
  }>
  streams: Array<{
    /** A UUIDv7 */
    id: string
    of: 'producer' | 'consumer'
    kind: 'audio' | 'video'
    bitrate?: number
    packets?: number
    lost?: number
    jitter?: number
    roundTripMs?: number
    score?: number
  }>
}

export type VoiceTransport = {
  /** A UUIDv7 */
  id: string
  iceParameters: IceParameters
  iceCandidates: Array<{
    foundation: string
    priority: number
    address: string
    ip: string
    protocol: 'udp' | 'tcp'
    port: number
    type: 'host'
    tcpType?: 'passive'
  }>
  dtlsParameters: DtlsParameters
}

/** What each event carries in `d`. */
export type Events = {
  /** Somebody has written a message. */
  'message.created': Message
  /** A message has changed: its text, or the state of a file that it carries. */
  'message.edited': Message
  /** A message is gone. `seq` is the one of its creation. */
  'message.deleted': {
    /** A UUIDv7 */
    id: string
    /** A UUIDv7 */
    channelId: string
    seq: number
  }
  /** The channel keeps messages for a time: all whose `seq` is below `before` are gone, but for those in `kept`, which are pinned. */
  'messages.expired': {
    /** A UUIDv7 */
    channelId: string
    before: number
    kept: Array<string>
  }
  /** A message has been pinned. */
  'message.pinned': {
    /** A UUIDv7 */
    id: string
    /** A UUIDv7 */
    channelId: string
    /** RFC 3339, in UTC */
    pinnedAt: string
  }
  /** A message is pinned no more. */
  'message.unpinned': {
    /** A UUIDv7 */
    id: string
    /** A UUIDv7 */
    channelId: string
  }
  /** Somebody has reacted to a message. */
  'reaction.added': {
    /** A UUIDv7 */
    messageId: string
    /** A UUIDv7 */
    channelId: string
    /** A UUIDv7 */
    userId: string
    emoji: string
    /** How many have reacted with this emoji, now */
    count: number
  }
  /** Somebody's reaction is gone. */
  'reaction.removed': {
    /** A UUIDv7 */
    messageId: string
    /** A UUIDv7 */
    channelId: string
    /** A UUIDv7 */
    userId: string
    emoji: string
    /** How many have reacted with this emoji, now */
    count: number
  }
  /** All reactions of a message are gone. */
  'reaction.cleared': {
    /** A UUIDv7 */
    messageId: string
    /** A UUIDv7 */
    channelId: string
  }
  /** There is a channel: on the server's stream, or on its own where not everybody may see it. */
  'channel.created': Channel
  /** A channel has changed: on the server's stream, or on its own where not everybody may see it. */
  'channel.updated': Channel
  /** A conversation's name or its participants have changed. */
  'conversation.updated': ConversationChange
  /** How far a conversation has come with somebody. */
  'delivery.updated': DeliveryState
  /** Somebody is writing, until `expiresAt` or until their message comes. One's own comes as well. */
  'typing.started': {
    /** A UUIDv7 */
    channelId: string
    /** A UUIDv7 */
    userId: string
    /** RFC 3339, in UTC */
    expiresAt: string
  }
  /** Somebody is in a call. `ready` restates all. */
  'voice.joined': VoiceState
  /** Somebody in a call is muted, shows a camera, or the reverse. */
  'voice.updated': VoiceState
  /** Somebody is in a call no more. */
  'voice.left': {
    /** A UUIDv7 */
    channelId: string
    /** A UUIDv7 */
    userId: string
  }
  /** A channel is gone. */
  'channel.deleted': {
    /** A UUIDv7 */
    id: string
  }
  /** The name of the server, its settings or its limits have changed. */
  'server.updated': Server
  /** There is a new role. */
  'role.created': Role
  /** A role has changed: what it is called, what it allows or where it stands. */
  'role.updated': Role
  /** A role is gone. */
  'role.deleted': {
    /** A UUIDv7 */
    id: string
  }
  /** Somebody has become a member. */
  'member.joined': {
    user: User
    roleIds: Array<string>
    /** RFC 3339, in UTC */
    joinedAt: string
  }
  /** A member has other roles or another nickname, or may not speak for a while. */
  'member.updated': {
    /** A UUIDv7 */
    userId: string
    nickname: string | null
    roleIds: Array<string>
    timedOutUntil: string | null
  }
  /** Somebody is a member no more. */
  'member.left': {
    /** A UUIDv7 */
    userId: string
  }
  /** A profile has changed, or the account is gone. */
  'user.updated': User
  /** How members are there now, many at once. One's own comes on `user`, as one has chosen it; on `server` one is what the others see. */
  'presence.updated': {
    presences: Array<Presence>
  }
  /** How far one has read a channel, on whichever device. */
  'read.updated': {
    /** A UUIDv7 */
    channelId: string
    lastReadSeq: number
  }
  /** One has blocked somebody, on whichever device. */
  'block.added': {
    /** A UUIDv7 */
    userId: string
  }
  /** One has blocked somebody no more. */
  'block.removed': {
    /** A UUIDv7 */
    userId: string
  }
  /** Others may begin conversations with one, or may not. */
  'contactSettings.updated': ContactSettings
  /** One has logged in, on whichever device. */
  'session.created': {
    /** A UUIDv7 */
    id: string
  }
  /** A session of one has ended. */
  'session.revoked': {
    /** A UUIDv7 */
    id: string
  }
  /** One takes part in a conversation from now on. Its stream goes on after `lastSeq`; `ready` restates the newest. */
  'conversation.created': Conversation
  /** One takes part in a conversation no more. */
  'conversation.removed': {
    /** A UUIDv7 */
    id: string
  }
  /** One has taken a conversation out of the list, on whichever device, until there is a message after `lastSeq`. */
  'conversation.closed': {
    /** A UUIDv7 */
    id: string
    /** The last number of its stream */
    lastSeq: number
  }
  /** One has brought a conversation back into the list, on whichever device. */
  'conversation.reopened': Conversation
  /** The channels that one sees from now on, whose streams go on after `lastSeq`, and those that one lost. `ready` restates it. */
  'access.changed': {
    channels: Array<GainedChannel>
    removed: Array<string>
  }
  /** Somebody sends into the call that one is in. */
  'voice.producerAdded': {
    /** A UUIDv7 */
    channelId: string
    producer: VoiceProducer
  }
  /** Something in the call that one is in is paused, or goes on. */
  'voice.producerUpdated': {
    /** A UUIDv7 */
    channelId: string
    producer: VoiceProducer
  }
  /** Something in the call is over, and so is what one received of it. */
  'voice.producerRemoved': {
    /** A UUIDv7 */
    channelId: string
    /** A UUIDv7 */
    producerId: string
    /** A UUIDv7 */
    userId: string
  }
  /** Whether anybody receives what one sends: of a camera or a screen that nobody does, nothing need be sent. Until told otherwise somebody does, also after joining again. */
  'voice.producerWatched': {
    /** A UUIDv7 */
    channelId: string
    /** A UUIDv7 */
    producerId: string
    watched: boolean
  }
  /** Who is heard now, the loudest first; nobody when there is silence. */
  'voice.activeSpeakers': {
    /** A UUIDv7 */
    channelId: string
    speakers: Array<{
      /** A UUIDv7 */
      userId: string
      /** dBov */
      level: number
    }>
  }
  /** Somebody has begun a call in a conversation of one’s. It is said again every few seconds, until `voice.ringingStopped` or `expiresAt`. */
  'voice.ringing': {
    /** A UUIDv7 */
    channelId: string
    /** A UUIDv7 */
    callId: string
    /** Who calls */
    userId: string
    /** RFC 3339, in UTC */
    expiresAt: string
  }
  /** One is called no more, on whichever device; or, in the call that one is in, somebody else is. */
  'voice.ringingStopped': {
    /** A UUIDv7 */
    channelId: string
    /** A UUIDv7 */
    callId: string
    /** Who was called */
    userId: string
    reason: 'answered' | 'declined' | 'expired' | 'ended'
  }
  /** A moderator wants one in another channel: this participation is over, and `to` is to be joined. */
  'voice.moved': {
    /** A UUIDv7 */
    channelId: string
    /** A UUIDv7 */
    to: string
  }
  /** Something may have been missed: join again with `resume`, at once. Unless `media`, all transports are gone. */
  'voice.interrupted': {
    /** A UUIDv7 */
    channelId: string
    media: boolean
  }
  /** One is in the call no more. */
  'voice.ended': {
    /** A UUIDv7 */
    channelId: string
    reason: 'elsewhere' | 'disconnected' | 'forbidden' | 'lost' | 'ended'
    /** Whether joining anew may help */
    rejoin: boolean
  }
}

/** What a client may send, by `op`. */
export type ClientFrames = {
  /** Says who one is */
  identify: {
    op: 'identify'
    /** Asks for a `reply`, which repeats it */
    id?: number
    /** An access token or an API token */
    token: string
    /** To go on where one left off: of each stream the last number that one has */
    cursors?: Record<string, number>
    presence?: ChosenPresence
  }
  /** Says that one is still there */
  heartbeat: {
    op: 'heartbeat'
    /** Asks for a `reply`, which repeats it */
    id?: number
  }
  /** Hands in a new access token */
  refresh: {
    op: 'refresh'
    /** Asks for a `reply`, which repeats it */
    id?: number
    /** An access token or an API token */
    token: string
  }
  /** Says that a conversation has arrived here, up to a number */
  delivered: {
    op: 'delivered'
    /** Asks for a `reply`, which repeats it */
    id?: number
    /** A UUIDv7 */
    channelId: string
    seq: number
  }
  /** Sends a message */
  'message.send': {
    op: 'message.send'
    /** Asks for a `reply`, which repeats it */
    id?: number
    /** A UUIDv7 */
    channelId: string
    /** At most the server's limit of Unicode code points */
    content: string
    /** A repeat answers what the first did */
    nonce?: string
    replyTo?: string | null
    mediaIds?: Array<string>
  }
  /** Says how far one has read */
  read: {
    op: 'read'
    /** Asks for a `reply`, which repeats it */
    id?: number
    /** A UUIDv7 */
    channelId: string
    seq: number
  }
  /** Says that one is writing */
  typing: {
    op: 'typing'
    /** Asks for a `reply`, which repeats it */
    id?: number
    /** A UUIDv7 */
    channelId: string
  }
  /** Says how one is there, on this connection */
  presence: {
    op: 'presence'
    /** Asks for a `reply`, which repeats it */
    id?: number
    status?: 'online' | 'idle' | 'dnd' | 'invisible'
    customStatus?: {
      text?: string | null
      emoji?: string | null
      expiresAt?: string | null
    } | null
  }
  /** Joins the call of a channel */
  'voice.join': {
    op: 'voice.join'
    id?: number
    /** A UUIDv7 */
    channelId: string
    rtpCapabilities: RtpCapabilities
    /** A participation of one's own, by its `participantId` */
    resume?: string
    selfDeafened?: boolean
  }
  /** Leaves the call */
  'voice.leave': {
    op: 'voice.leave'
    id?: number
  }
  /** Asks for a way for media, to send or to receive */
  'voice.createTransport': {
    op: 'voice.createTransport'
    id?: number
    direction: 'send' | 'recv'
  }
  /** Tells the client's end of a transport's DTLS */
  'voice.connectTransport': {
    op: 'voice.connectTransport'
    id?: number
    /** A UUIDv7 */
    transportId: string
    dtlsParameters: DtlsParameters
  }
  /** Sends a microphone, a camera, a screen or its sound into the call */
  'voice.produce': {
    op: 'voice.produce'
    id?: number
    /** A UUIDv7 */
    transportId: string
    kind: 'audio' | 'video'
    source: 'microphone' | 'camera' | 'screen' | 'screenAudio'
    rtpParameters: RtpParameters
    paused?: boolean
  }
  /** Asks for what somebody sends */
  'voice.consume': {
    op: 'voice.consume'
    id?: number
    /** A UUIDv7 */
    transportId: string
    /** A UUIDv7 */
    producerId: string
  }
  /** Is ready for what was asked for */
  'voice.resumeConsumer': {
    op: 'voice.resumeConsumer'
    id?: number
    /** A UUIDv7 */
    consumerId: string
  }
  /** Says how much of a picture is wanted, of simulcast or SVC */
  'voice.setPreferredLayers': {
    op: 'voice.setPreferredLayers'
    id?: number
    /** A UUIDv7 */
    consumerId: string
    spatialLayer: number
    temporalLayer?: number
  }
  /** Pauses what one sends or receives */
  'voice.pause': {
    op: 'voice.pause'
    id?: number
    /** A UUIDv7 */
    producerId?: string
    /** A UUIDv7 */
    consumerId?: string
  }
  /** Lets what was paused go on */
  'voice.resume': {
    op: 'voice.resume'
    id?: number
    /** A UUIDv7 */
    producerId?: string
    /** A UUIDv7 */
    consumerId?: string
  }
  /** Sends something no more */
  'voice.closeProducer': {
    op: 'voice.closeProducer'
    id?: number
    /** A UUIDv7 */
    producerId: string
  }
  /** Asks for new ICE parameters, after the network has changed */
  'voice.restartIce': {
    op: 'voice.restartIce'
    id?: number
    /** A UUIDv7 */
    transportId: string
  }
  /** Asks how the media fares, as the server measures it */
  'voice.stats': {
    op: 'voice.stats'
    id?: number
  }
}

/** What the reply to each op carries in `d`. */
export type ReplyData = {
  identify: Record<string, never>
  heartbeat: Record<string, never>
  refresh: Record<string, never>
  delivered: Record<string, never>
  'message.send': Message
  read: {
    /** A UUIDv7 */
    channelId: string
    lastReadSeq: number
  }
  typing: Record<string, never>
  presence: Presence
  'voice.join': VoiceJoined
  'voice.leave': Record<string, never>
  'voice.createTransport': VoiceTransport
  'voice.connectTransport': Record<string, never>
  'voice.produce': {
    /** A UUIDv7 */
    producerId: string
  }
  'voice.consume': VoiceConsumer
  'voice.resumeConsumer': Record<string, never>
  'voice.setPreferredLayers': Record<string, never>
  'voice.pause': Record<string, never>
  'voice.resume': Record<string, never>
  'voice.closeProducer': Record<string, never>
  'voice.restartIce': {
    iceParameters: IceParameters
  }
  'voice.stats': VoiceStats
}

/** What a server sends beside events and replies, by `op`. */
export type ServerFrames = {
  /** The first frame of every connection */
  hello: {
    op: 'hello'
    /** How often a heartbeat is expected, in milliseconds */
    heartbeatMs: number
    /** A UUIDv7 */
    connectionId: string
    limits: {
      /** Bytes of the largest frame that is taken */
      maxFrameBytes: number
      /** Frames that a connection may send in the long run; 0 for any number */
      framesPerSecond: number
      /** How long a connection may stay without having identified, in milliseconds */
      identifyMs: number
    }
  }
  /** The state as it is, after `identify` */
  ready: {
    op: 'ready'
    user: OwnUser
    server: Server
    roles: Array<Role>
    /** Those that one sees */
    channels: Array<ReadyChannel>
    /** The newest hundred of one's conversations; the streams of all are followed */
    dms: Array<Conversation>
    /** Everybody whom one has blocked, by their ids */
    blocks: Array<string>
    dmsFrom: 'everyone' | 'nobody'
    presence: Presence
    /** Some of those who are there, whom one talks with first; `GET /v1/presences` lists all */
    presences: Array<Presence>
    /** How many are there */
    presenceCount: number
    /** Who is in the calls of the channels that one sees */
    voiceStates: Array<VoiceState>
    /** Every stream that one follows, with its last number */
    streams: Record<string, number>
    /** Whether `identify` brought cursors */
    resumed: boolean
  }
  /** What came after a cursor is not replayed */
  reset: {
    op: 'reset'
    stream: string
    /** Where the stream stands, and goes on from */
    seq: number
  }
  /** The server drains: come back with the cursors, to any gateway */
  reconnect: {
    op: 'reconnect'
  }
}

/** What a client does after the server has closed its connection with a code. */
export const comeBack = {
  /** The server goes away. */
  1001: 'resume',
  /** A binary frame. */
  1003: 'never',
  /** A frame over `limits.maxFrameBytes`. */
  1009: 'never',
  /** A part of the server is away for the moment. */
  1013: 'later',
  /** Not identified in time. */
  4001: 'resume',
  /** A frame that is none: not a JSON object, an unknown `op` or field, values that don't fit and no `id` to say so. */
  4002: 'never',
  /** The token is not valid, or has expired. */
  4003: 'newToken',
  /** The session was ended, or the account may not be here any more. */
  4004: 'never',
  /** Too many frames. */
  4007: 'later',
  /** Too slow to take what was sent. */
  4008: 'resume',
  /** No heartbeat. */
  4009: 'resume',
  /** Too many connections of this account. */
  4010: 'later',
} as const
