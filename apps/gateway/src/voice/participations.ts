import {
  isVoiceEnding,
  isVoiceInterruption,
  type NoticeTo,
  userStream,
  type VoiceLease,
  voiceFrame,
} from '@conntext/contracts'
import type { Clock } from '@conntext/kernel'
import type { Connection } from '../sockets/connection.ts'

// So many participations go into one message.
const PART = 250
// What is told meanwhile of a call that somebody is joining; whoever would have more is told that there is a gap.
const MOST_WAITING = 1_000

/** One connection's part in a call, as the node named it. */
export type Participation = {
  connection: Connection
  participantId: string
  channelId: string
  nodeId: string
  /** The number of the last notice that its client has had. */
  number: number
  /** Its client has been told to join again: until then it is told no more. */
  interrupted: boolean
}

type Notice = { p: string; i: number; frame: string }

/** Who of the connections here is in which call, and what they are told of it. */
export class Participations {
  readonly #byConnection = new Map<string, Participation>()
  readonly #byParticipant = new Map<string, Participation>()
  /** What is told while somebody is joining, by connection. */
  readonly #joining = new Map<string, Notice[]>()

  constructor(private readonly options: { clock: Clock; counted(count: number): void }) {}

  of({ id }: Connection): Participation | undefined {
    return this.#byConnection.get(id)
  }

  all(): Iterable<Participation> {
    return this.#byConnection.values()
  }

  /** From now on what is told waits, until it is known what the connection is in. */
  join({ id }: Connection): void {
    this.#joining.set(id, [])
  }

  /** It is in this one from now on; without one, in what it was in before. */
  joined({ id, open }: Connection, participation?: Participation): void {
    const waiting = this.#joining.get(id) ?? []
    this.#joining.delete(id)
    if (!open) return
    if (participation) this.#put(participation)
    for (const notice of waiting) this.#tell(id, notice)
  }

  /** Answers what it was in. */
  forget({ id }: Pick<Connection, 'id'>): Participation | undefined {
    const participation = this.#byConnection.get(id)
    if (this.#byConnection.delete(id)) this.options.counted(this.#byConnection.size)
    if (participation && this.#byParticipant.get(participation.participantId) === participation) {
      this.#byParticipant.delete(participation.participantId)
    }
    return participation
  }

  /** A node has told something. */
  hear(to: NoticeTo[], frame: string): void {
    for (const { c, p, i } of to) {
      const waiting = this.#joining.get(c)
      if (!waiting) this.#tell(c, { p, i, frame })
      else if (waiting.length < MOST_WAITING) waiting.push({ p, i, frame })
    }
  }

  /** Nodes have died, with all that was there. */
  lost(nodeIds: string[]): void {
    if (nodeIds.length === 0) return
    for (const one of this.#byConnection.values()) if (nodeIds.includes(one.nodeId)) this.#interrupt(one, false)
  }

  /** What each node is to hear of its participants. */
  leases(gatewayId: string): VoiceLease[] {
    const byNode = Map.groupBy(this.#byConnection.values(), ({ nodeId }) => nodeId)
    return [...byNode].flatMap(([n, all]) => {
      const leases: VoiceLease[] = []
      for (let from = 0; from < all.length; from += PART) {
        const held = all.slice(from, from + PART).map(({ participantId, connection, channelId, number }) => ({
          ...{ p: participantId, c: connection.id, ch: channelId, i: number },
        }))
        leases.push({ g: gatewayId, n, held })
      }
      return leases
    })
  }

  #put(participation: Participation): void {
    const { connection, participantId } = participation
    // It may have been another connection's, whose client has come back by this one.
    const before = this.#byParticipant.get(participantId)
    if (before) this.forget(before.connection)
    this.forget(connection)
    this.#byConnection.set(connection.id, participation)
    this.options.counted(this.#byConnection.size)
    this.#byParticipant.set(participantId, participation)
  }

  #tell(connectionId: string, { p, i, frame }: Notice): void {
    const one = this.#byConnection.get(connectionId)
    if (one?.participantId !== p || i <= one.number) return
    if (isVoiceEnding(frame)) {
      // Whatever was missed before it doesn't matter any more.
      this.forget(one.connection)
      one.connection.send(frame)
    } else if (!one.interrupted) {
      if (i !== one.number + 1) this.#interrupt(one, true)
      else {
        one.number = i
        one.interrupted = isVoiceInterruption(frame)
        one.connection.send(frame)
      }
    }
  }

  #interrupt(one: Participation, media: boolean): void {
    if (one.interrupted) return
    one.interrupted = true
    const at = this.options.clock.now().toISOString()
    const { channelId, connection } = one
    connection.send(voiceFrame(userStream(''), 'voice.interrupted', at, { channelId, media }))
  }
}
