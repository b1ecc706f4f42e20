import { type ComeBack, type clientFrames, closings, MAX_CURSORS, type serverFrames } from '@conntext/contracts'
import { gatewayDefaults } from '@conntext/gateway'

const { socket, streams, voice } = gatewayDefaults

const COME_BACK: Record<ComeBack, string> = {
  resume: 'yes, with cursors',
  later: 'yes, after a pause',
  newToken: 'with a new token',
  never: 'no',
}

const closingTable = Object.values(closings)
  .toSorted((a, b) => a.code - b.code)
  .map(({ code, description, comeBack }) => `| ${code} | ${description} | ${COME_BACK[comeBack]} |`)
  .join('\n')

export const DOCUMENT = `The realtime side of a ConnText server: a WebSocket that speaks JSON text frames. The rest of
the API is HTTP: \`/openapi.json\`.`

export const HANDSHAKE = `Greeting, identification, events and replies, over one WebSocket.

## Handshake

A \`GET\` that upgrades, as RFC 6455 has it. No subprotocol is needed; the first of those that a client offers is echoed,
for libraries that insist on one. permessage-deflate is negotiated where the client offers it and the server has it on;
frames are packed only for those who ask with \`?compress=1\`. A page's origin has to be one of those that the server
allows. The token is no part of the handshake: it comes with \`identify\`.

Instead of the upgrade a client may get a problem (RFC 9457): 403 for an origin that may not connect, 429 for an address
that asks too often, 503 while the server drains or has as many connections as it takes, 426 for no upgrade at all.

## A connection

1. The server greets with \`hello\`, which tells its limits.
2. The client identifies within \`limits.identifyMs\`; to go on where it left off it adds its \`cursors\`.
3. The server answers with \`ready\`: the state as it is.
4. After a resume the events after the cursors follow, then live ones, without a seam.
5. The client sends a \`heartbeat\` every \`heartbeatMs\`, and \`refresh\` before its token expires.

A client frame that carries an \`id\` is answered with a \`reply\` of that \`id\`. Frames may be sent without waiting for
the replies to those before; replies come in the order of what was asked within one op, and so they do of all \`voice.*\`.

## Streams

\`channel:<id>\` for each channel that one may see and each conversation that one takes part in, \`server\` for what
everybody may know, \`user\` for oneself. Within a stream \`seq\` rises by one, without gaps and in order, on every
gateway. Events without \`seq\` are ephemeral: they are kept nowhere and not replayed.

## Resume and reset

A client that comes back sends, as \`cursors\`, the last \`seq\` that it has of each stream: at most ${MAX_CURSORS}.
Any gateway then sends what came after them. \`reset\` says that what came after a cursor is not replayed: the client
fetches the state and goes on from the \`seq\` that it tells. That is so where the log no longer reaches back that far,
where more than ${streams.maxReplay} events of the stream were missed, where the cursor is of another log, and where the
member may not read what was said before (\`message.history\`).

## Limits

\`hello\` tells those in force. Unless the server is set up otherwise: frames of ${socket.maxFrameBytes} bytes,
${socket.frames.perSecond} frames a second with bursts of ${socket.frames.burst}, ${socket.messages.perSecond} messages a
second of one account with bursts of ${socket.messages.burst} (beyond it \`message.send\` is refused with status 429 and
\`retryAfter\`), ${voice.operations.perSecond} \`voice.*\` a second of one connection with bursts of ${voice.operations.burst}, and ${voice.joins.perSecond} \`voice.join\` a second of
one account with bursts of ${voice.joins.burst} (refused alike), ${socket.maxConnectionsPerUser} connections of one account, ${socket.maxBufferedBytes} bytes queued for
a client that doesn't take them, or ${socket.slowBytes} for longer than ${socket.slowMs / 1000} seconds.

## Closing

| code | why | come back? |
| ---- | --- | ---------- |
${closingTable}
`

type Words = { summary: string; description?: string }

export const CLIENT_WORDS: Record<keyof typeof clientFrames, Words> = {
  identify: {
    summary: 'Says who one is',
    description: 'Once, before anything else but heartbeats. Answered with `ready`, then with the reply.',
  },
  heartbeat: {
    summary: 'Says that one is still there',
    description:
      'Every `heartbeatMs`, with jitter. A connection without one for one and a half of them is closed: 4009.',
  },
  refresh: {
    summary: 'Hands in a new access token',
    description: "Of the same session, before the old one expires. The connection ends with its token's time: 4003.",
  },
  delivered: {
    summary: 'Says that a conversation has arrived here, up to a number',
    description: 'The others in the conversation are told. Channels have no such thing: there it is refused with 404.',
  },
  'message.send': {
    summary: 'Sends a message',
    description:
      'The same as `POST /v1/channels/{channelId}/messages`. With a `nonce` it may be sent again after a lost connection: ' +
      'it is stored once, and every repeat is answered with the same message.',
  },
  read: {
    summary: 'Says how far one has read',
    description: 'The same as `PUT /v1/channels/{channelId}/read`; the reply says how far one has read then.',
  },
  typing: {
    summary: 'Says that one is writing',
    description: 'Every few seconds while it is so; `typing.started` tells the others who see the channel.',
  },
  presence: {
    summary: 'Says how one is there, on this connection',
    description: "The presence that others see is made of all of one's connections; the reply is one's own.",
  },
  'voice.join': {
    summary: 'Joins the call of a channel',
    description:
      'Ends what one was in before, on whichever connection. With `resume` one goes on with what one had; `kept` in the reply ' +
      'says what of it is still there.',
  },
  'voice.leave': { summary: 'Leaves the call', description: 'With all that one sends and receives.' },
  'voice.createTransport': {
    summary: 'Asks for a way for media, to send or to receive',
    description: 'A second one of the same direction takes the place of the first.',
  },
  'voice.connectTransport': { summary: "Tells the client's end of a transport's DTLS" },
  'voice.produce': {
    summary: 'Sends a microphone, a camera, a screen or its sound into the call',
    description: 'Takes `voice.speak`, `voice.video` or `voice.share`. The others hear of it by `voice.producerAdded`.',
  },
  'voice.consume': {
    summary: 'Asks for what somebody sends',
    description: 'It is paused until `voice.resumeConsumer`. The same again answers the same consumer.',
  },
  'voice.resumeConsumer': { summary: 'Is ready for what was asked for' },
  'voice.setPreferredLayers': { summary: 'Says how much of a picture is wanted, of simulcast or SVC' },
  'voice.pause': {
    summary: 'Pauses what one sends or receives',
    description: 'A producer is muted for all; a consumer for oneself; with neither one is deafened.',
  },
  'voice.resume': { summary: 'Lets what was paused go on' },
  'voice.closeProducer': { summary: 'Sends something no more' },
  'voice.restartIce': { summary: 'Asks for new ICE parameters, after the network has changed' },
  'voice.stats': { summary: 'Asks how the media fares, as the server measures it' },
}

export const SERVER_WORDS: Record<keyof typeof serverFrames, Words> = {
  hello: { summary: 'The first frame of every connection' },
  ready: {
    summary: 'The state as it is, after `identify`',
    description: 'Events follow it: those after the cursors, then live ones.',
  },
  reset: {
    summary: 'What came after a cursor is not replayed',
    description: 'Fetch the state of the stream and go on from `seq`.',
  },
  reconnect: {
    summary: 'The server drains: come back with the cursors, to any gateway',
    description: 'Followed by closing with 1001.',
  },
}
