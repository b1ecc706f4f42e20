import {
  type CallEnding,
  type OnBehalf,
  type RtpCapabilities,
  type SaidVoiceState,
  VOICE_LEASE_MS,
  type VoiceEnding,
  type VoiceJoined,
  type VoiceState,
} from '@conntext/contracts'
import { accessErrors, type Caller } from '@conntext/http'
import { type Clock, elapsedMs, type Logger } from '@conntext/kernel'
import type { Static } from '@sinclair/typebox'
import type { Engine, Seat } from '../media/engine.ts'
import type { SilencedUsers } from '../nodes/silenced.ts'
import { Call, type CallLimits } from './call.ts'
import { voiceErrors } from './errors.ts'
import type { Notices } from './notices.ts'
import { Participant, type Place } from './participant.ts'
import { assertMayJoin, limitsOf, type PermitDeps, standing } from './permits.ts'
import { routerCapabilities } from './translate.ts'

export type CallsDeps = PermitDeps & {
  engine: Engine
  notices: Notices
  limits: CallLimits
  clock: Clock
  log: Logger
  /** The state of a participation is another one; undefined: it is over. */
  changed(participantId: string, state: VoiceState | undefined): void
  /** Whom moderators had silenced in a channel's call when it was lost elsewhere; asked once, as it begins here. */
  silenced(channelId: string): SilencedUsers | undefined
  observer: CallObserver
}

/** Who has to know what becomes of calls, and of who is in them. */
export type CallObserver = {
  /** `begins`: with them, the call does; it doesn't where it only came here from elsewhere. */
  entered(participant: Participant, how: { begins: boolean }): void
  over(participant: Participant, ending: CallEnding): void
  ended(call: Call): void
}

/** How a participation ends: whether its owner may try again, and what it is in history, unless as they were told. */
type Farewell = { rejoin: boolean; as?: CallEnding }

export type Join = {
  caller: Static<typeof OnBehalf>
  place: Place
  channelId: string
  rtpCapabilities: RtpCapabilities
  resume?: string
  selfDeafened?: boolean
}

export const callerOf = (caller: Join['caller'], reason: string | null = null): Caller => ({ ...caller, reason })

/** The calls of this node, and who is in them. An account is in one at most. */
export class Calls {
  readonly #calls = new Map<string, Call>()
  readonly #participants = new Map<string, Participant>()
  readonly #byUser = new Map<string, Participant>()

  constructor(private readonly deps: CallsDeps) {
    deps.engine.onLost((seat) => this.#lost(seat))
  }

  get size(): { calls: number; participants: number } {
    return { calls: this.#calls.size, participants: this.#participants.size }
  }

  participants(): Participant[] {
    return [...this.#participants.values()]
  }

  has(channelId: string): boolean {
    return this.#calls.has(channelId)
  }

  call(channelId: string): Call | undefined {
    return this.#calls.get(channelId)
  }

  channels(): string[] {
    return [...this.#calls.keys()]
  }

  find(participantId: string): Participant | undefined {
    return this.#participants.get(participantId)
  }

  inCall(channelId: string, userId: string): Participant | undefined {
    const participant = this.#byUser.get(userId)
    return participant?.call.channelId === channelId ? participant : undefined
  }

  /**
   * Another node has said who is in its calls. Who joined there is here no more; and of two calls of one channel, which
   * were begun at the same moment, the one of the node with the smaller name stays.
   */
  heardElsewhere(isSmaller: boolean, said: SaidVoiceState[]): void {
    for (const { p, state } of said) {
      const mine = this.#byUser.get(state.userId)
      if (mine && mine.id < p) this.end(mine, 'elsewhere')
      const call = this.#calls.get(state.channelId)
      if (call && isSmaller) this.dissolve(call)
    }
  }

  /** @throws as `voiceJoin` does */
  async join(join: Join): Promise<{ joined: VoiceJoined; notice: number }> {
    const caller = callerOf(join.caller)
    await assertMayJoin(this.deps, caller, join.channelId)
    const known = join.resume === undefined ? undefined : this.#participants.get(join.resume)
    const mine = known && known.userId === caller.userId && known.caller.sessionId === caller.sessionId
    if (mine && known.call.channelId === join.channelId) {
      const resumed = await known.serial.run(() => this.#resume(known, join))
      if (resumed) return resumed
    }
    return this.#enter(caller, join)
  }

  async #enter(caller: Caller, join: Join): Promise<{ joined: VoiceJoined; notice: number }> {
    const { channelId, place, rtpCapabilities, selfDeafened = false } = join
    const { guard, clock, engine, limits, observer } = this.deps
    if (engine.seats().length === 0) throw voiceErrors.away({ retryAfter: 1 })
    const call = this.#calls.get(channelId) ?? this.#begin(channelId, { engine, limits })
    call.joining += 1
    try {
      const room = await call.room()
      const may = await standing(this.deps, caller, channelId)
      const { userLimit, audioBitrate } = await limitsOf(guard, channelId)
      const exempt = call.isFull(userLimit) && (await guard.allows(caller, 'voice.move', channelId))
      // From here on nothing waits. What has changed meanwhile: the permission, the worker, the call itself.
      if (!may.connect) throw accessErrors.forbidden('This needs the permission voice.connect.')
      if (call.closed || room.router.closed) throw voiceErrors.away({ retryAfter: 1 })
      const before = this.#byUser.get(caller.userId)
      if (call.isFull(userLimit) && !exempt && before?.call !== call) throw voiceErrors.full()
      if (before) this.end(before, before.place.connectionId === place.connectionId ? undefined : 'elsewhere')
      const participant = new Participant(call, caller, clock.now(), { place, rtpCapabilities, selfDeafened })
      participant.media = call.mediaOn(room)
      participant.suppressed = !may.speak
      participant.audioBitrate = audioBitrate
      this.#attach(participant, place)
      call.participants.set(participant.id, participant)
      this.#participants.set(participant.id, participant)
      this.#byUser.set(participant.userId, participant)
      const begins = call.peak === 0 && join.resume === undefined
      call.peak = Math.max(call.peak, call.participants.size)
      observer.entered(participant, { begins })
      this.changed(participant)
      return this.#joined(participant, false)
    } finally {
      call.joining -= 1
      this.#endIfEmpty(call)
    }
  }

  #begin(channelId: string, { engine, limits }: Pick<CallsDeps, 'engine' | 'limits'>): Call {
    const { notices, clock } = this.deps
    const call = new Call(channelId, clock.now(), {
      engine,
      limits,
      hooks: {
        producerWatched: (_, to, { id: producerId, watched }) => {
          notices.tell([to], 'voice.producerWatched', { channelId, producerId, watched })
        },
        producerRemoved: ({ participants }, { id, userId }) => {
          notices.tell(participants.values(), 'voice.producerRemoved', { channelId, producerId: id, userId })
          const owner = this.#byUser.get(userId)
          if (owner?.call === call) this.changed(owner)
        },
        heard: ({ participants }, speakers) => {
          notices.tell(participants.values(), 'voice.activeSpeakers', { channelId, speakers })
          for (const { userId } of speakers) {
            const heard = this.inCall(channelId, userId)
            if (heard) heard.used.spoke = true
          }
        },
      },
    })
    const { muted = [], deafened = [] } = this.deps.silenced(channelId) ?? {}
    for (const userId of muted) call.muted.add(userId)
    for (const userId of deafened) call.deafened.add(userId)
    this.#calls.set(channelId, call)
    return call
  }

  /** Undefined where it ended meanwhile. */
  async #resume(participant: Participant, join: Join): Promise<{ joined: VoiceJoined; notice: number } | undefined> {
    const { call } = participant
    if (participant.over) return undefined
    if (!participant.media || participant.media.closed) {
      const room = await call.room()
      if (participant.over) return undefined
      if (room.router.closed) throw voiceErrors.away({ retryAfter: 1 })
      participant.media = call.mediaOn(room)
    }
    this.#attach(participant, join.place)
    participant.rtpCapabilities = join.rtpCapabilities
    if (join.selfDeafened !== undefined) participant.selfDeafened = join.selfDeafened
    await participant.settle()
    if (participant.over) return undefined
    this.changed(participant)
    const joined = this.#joined(participant, true)
    call.restateWatched(participant)
    return joined
  }

  #attach(participant: Participant, place: Place): void {
    participant.place = place
    participant.awaySince = undefined
    participant.silentSince = undefined
    participant.leaseUntil = elapsedMs(this.deps.clock) + VOICE_LEASE_MS
    // A gateway's word may have been on its way before: the first one says nothing of what was told until now.
    participant.numberAtLease = 0
  }

  #joined(participant: Participant, resumed: boolean): { joined: VoiceJoined; notice: number } {
    const { call, media, id } = participant
    const carriers = [...media!.carriers.values()]
    const joined: VoiceJoined = {
      channelId: call.channelId,
      callId: call.id,
      participantId: id,
      resumed,
      rtpCapabilities: routerCapabilities(media!.room.router, participant.audioBitrate),
      states: [...call.participants.values()].map(({ state }) => state),
      producers: call.producers(),
      kept: {
        transports: carriers.map(({ transport, direction }) => ({ id: transport.id, direction })),
        producerIds: [...media!.outgoing.keys()],
        consumerIds: [...media!.incoming.keys()],
      },
    }
    return { joined, notice: participant.number }
  }

  changed(participant: Participant): void {
    if (participant.over) return
    const { state, used } = participant
    used.camera ||= state.camera
    used.screen ||= state.screen
    this.deps.changed(participant.id, state)
  }

  /** Ends a participation, with all its media. Without a reason its owner is told nothing. */
  end(participant: Participant, reason?: VoiceEnding, told: Farewell = { rejoin: false }): void {
    if (participant.over) return
    const { call } = participant
    if (reason) {
      this.deps.notices.tell([participant], 'voice.ended', { channelId: call.channelId, reason, rejoin: told.rejoin })
    }
    participant.over = true
    call.participants.delete(participant.id)
    this.#participants.delete(participant.id)
    if (this.#byUser.get(participant.userId) === participant) this.#byUser.delete(participant.userId)
    participant.media?.close()
    participant.media = undefined
    this.deps.changed(participant.id, undefined)
    this.deps.observer.over(participant, told.as ?? reason ?? 'left')
    this.#endIfEmpty(call)
  }

  /** Its participants are to come again, here or elsewhere: they are told so, and the call is over here. */
  dissolve(call: Call): void {
    const { notices } = this.deps
    const { channelId, participants } = call
    notices.tell(participants.values(), 'voice.interrupted', { channelId, media: false })
    for (const participant of [...participants.values()]) {
      this.end(participant, undefined, { rejoin: true, as: 'interrupted' })
    }
    this.#forget(call)
  }

  dissolveAll(): void {
    for (const call of [...this.#calls.values()]) this.dissolve(call)
  }

  #endIfEmpty(call: Call): void {
    if (call.isEmpty) this.#forget(call)
  }

  #forget(call: Call): void {
    if (!call.closed) this.deps.observer.ended(call)
    call.close()
    if (this.#calls.get(call.channelId) === call) this.#calls.delete(call.channelId)
  }

  /** A worker is gone: who was on it keeps their place, and comes again for other media. */
  #lost(seat: Seat): void {
    const now = elapsedMs(this.deps.clock)
    for (const call of this.#calls.values()) {
      const adrift = call.lose(seat)
      for (const participant of adrift) {
        participant.media?.close()
        participant.media = undefined
        participant.awaySince ??= now
        this.changed(participant)
      }
      const { channelId } = call
      this.deps.notices.tell(adrift, 'voice.interrupted', { channelId, media: false })
    }
  }
}
