import type { Outcome } from './tally.ts'

/** How clients begin: ConnText's, those of a bare Bun.serve, and XMPP's in a group chat. */
export type Kind = 'gateway' | 'bare' | 'xmpp'

/**
 * `token` for the gateway; `returns` for one that will come back to it, and hence has to know its place; `path` for a
 * bare one, such as what it follows; `name` of an occupant; `port` where it is not the group's.
 */
export type ClientSpec = { token?: string; returns?: boolean; path?: string; name?: string; port?: number }

/** Who sends, and what apart from its content: a channel's id, or a topic's. */
export type Job = { client: number; target: string }

export type Wave = {
  /** Each client's milliseconds from the beginning until it had all it missed. */
  times: number[]
  /** Bytes that came to each client until then, in the median. */
  bytes: number
  /** Events that came twice, or after a gap. */
  faults: number
}

/** What the crowd's processes are asked for. Each group is so many clients of one server. */
export type Requests = {
  open: { ask: { group: string; kind: Kind; port: number; clients: ClientSpec[] }; answer: null }
  /** From now on, what arrives is counted: so many to each client, or so many in all where each gets its own. */
  expect: { ask: { group: string; each: number } | { group: string; inAll: number }; answer: null }
  outcome: { ask: { group: string }; answer: Outcome }
  /** Sends by jobs in turn, with so many bytes more each, at most `window` unanswered; answers when all have been. */
  send: { ask: { group: string; jobs: Job[]; total: number; window: number; padding: number }; answer: null }
  cut: { ask: { group: string }; answer: null }
  /** All connect at once; those of the gateway go on from where they were, bare ones ask for so many bytes. */
  comeBack: { ask: { group: string; channelId?: string; bytes?: number }; answer: Wave }
  close: { ask: { group: string }; answer: null }
  cpu: { ask: Record<string, never>; answer: number }
}

export type Op = keyof Requests
export type Ask = { [O in Op]: { id: number; op: O; ask: Requests[O]['ask'] } }[Op]
export type Answer = { id: number; answer?: unknown; error?: string }
