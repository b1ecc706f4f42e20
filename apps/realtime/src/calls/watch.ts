import type { Bus, Unsubscribe } from '@conntext/bus'
import { VOICE_LEASE_MS, type VoiceLease, voiceSubjects } from '@conntext/contracts'
import type { Guard } from '@conntext/http'
import { type Clock, elapsedMs, type Logger } from '@conntext/kernel'
import type { Calls } from './calls.ts'
import type { Notices } from './notices.ts'
import { type OperationsDeps, settleAndTell } from './operations.ts'
import type { Participant } from './participant.ts'
import { limitsOf, type PermitDeps, standing } from './permits.ts'

export type WatchDeps = Pick<PermitDeps, 'conversations'> & {
  calls: Calls
  notices: Notices
  guard: Guard
  bus: Bus
  clock: Clock
  log: Logger
  nodeId: string
}

/** How long a participation waits for its owner to come back. */
const GRACE_MS = { withMedia: 30_000, without: 10_000 }
const SWEEP_EVERY_MS = 1_000
const RECHECK_EVERY_MS = 30_000

/** Sees who may not be in a call any more, and who is not there any more. */
export class Watch {
  readonly #ends: (() => void)[] = []
  readonly #unsubscribe: Unsubscribe[] = []
  #sweeping = false

  constructor(private readonly deps: WatchDeps) {}

  async start(): Promise<void> {
    const { guard, calls, bus } = this.deps
    const sweep = setInterval(() => void this.sweep(), SWEEP_EVERY_MS)
    // Timeouts end by themselves, and the bus loses messages.
    const recheck = setInterval(() => void this.recheck(() => true), RECHECK_EVERY_MS)
    this.#ends.push(
      () => clearInterval(sweep),
      () => clearInterval(recheck),
      guard.onChange(({ userId }) => void this.recheck((one) => userId === undefined || one.userId === userId)),
      guard.onRevoked(({ sessionId }) => {
        for (const one of calls.participants()) if (one.caller.sessionId === sessionId) calls.end(one, 'forbidden')
      }),
    )
    this.#unsubscribe.push(
      bus.onGap(() => this.#extend()),
      await bus.subscribe(voiceSubjects.gateways, (payload) => this.renew(JSON.parse(payload) as VoiceLease)),
    )
  }

  async stop(): Promise<void> {
    for (const end of this.#ends.splice(0)) end()
    await Promise.all(this.#unsubscribe.splice(0).map((end) => end()))
  }

  /** Looks whether they may still do what they do. Where it can't be found out, it is tried again at the next turn. */
  async recheck(whom: (one: Participant) => boolean): Promise<void> {
    const concerned = this.deps.calls.participants().filter(whom)
    await Promise.all(
      concerned.map((one) =>
        this.#recheck(one).catch((error: unknown) =>
          this.deps.log.warn({ err: error, userId: one.userId }, 'what somebody in a call may do is not known'),
        ),
      ),
    )
  }

  async #recheck(one: Participant): Promise<void> {
    const { guard, calls } = this.deps
    const { channelId } = one.call
    const may = await standing(this.deps, one.caller, channelId)
    const { audioBitrate } = await limitsOf(guard, channelId)
    if (one.over) return
    if (!may.connect) {
      const isChannel = (await guard.authority()).hasChannel(channelId)
      const there = isChannel || (await this.deps.conversations.find(channelId)) !== null
      return calls.end(one, there ? 'forbidden' : 'ended')
    }
    for (const { producer, source } of [...(one.media?.outgoing.values() ?? [])]) {
      if (!may.sources[source]) producer.close()
    }
    if (one.suppressed === !may.speak && one.audioBitrate === audioBitrate) return
    one.suppressed = !may.speak
    one.audioBitrate = audioBitrate
    await one.serial.must(() => settleAndTell(this.deps as Pick<OperationsDeps, 'calls' | 'notices'>, one))
  }

  /** A gateway says whom it has. What it missed, and what is over, it is told again. */
  renew({ g, n, held }: VoiceLease): void {
    const { calls, notices, nodeId, clock } = this.deps
    if (n !== nodeId) return
    for (const { p, c, ch, i } of held) {
      const one = calls.find(p)
      if (one?.place.gatewayId === g && one.place.connectionId === c) {
        one.leaseUntil = elapsedMs(clock) + VOICE_LEASE_MS
        one.silentSince = undefined
        if (i < one.numberAtLease)
          notices.tell([one], 'voice.interrupted', { channelId: ch, media: one.media !== undefined })
        one.numberAtLease = one.number
      } else if (one && (one.awaySince ?? one.silentSince) !== undefined) {
        // Of two ways back in, the one that was given up came last: whoever is there by the other is to come again.
        const interrupted = { channelId: ch, media: one.media !== undefined }
        notices.send(g, [{ c, p, i: i + 1 }], 'voice.interrupted', interrupted)
      } else if (!one) {
        const ended = { channelId: ch, reason: 'ended', rejoin: true } as const
        notices.send(g, [{ c, p, i: i + 1 }], 'voice.ended', ended)
      }
    }
  }

  /** Ends what has been given up: whoever was away too long. */
  async sweep(): Promise<void> {
    if (this.#sweeping) return
    this.#sweeping = true
    try {
      const now = elapsedMs(this.deps.clock)
      const silent = this.deps.calls
        .participants()
        .filter((one) => one.leaseUntil < now && one.silentSince === undefined)
      if (silent.length > 0 && (await this.#busIsThere())) {
        for (const one of silent) if (one.leaseUntil < now) one.silentSince ??= now
      }
      for (const one of this.deps.calls.participants()) this.#giveUp(one, now)
    } finally {
      this.#sweeping = false
    }
  }

  #giveUp(one: Participant, now: number): void {
    const since = Math.min(one.awaySince ?? Number.POSITIVE_INFINITY, one.silentSince ?? Number.POSITIVE_INFINITY)
    const grace = one.media?.flows ? GRACE_MS.withMedia : GRACE_MS.without
    if (now - since > grace) this.deps.calls.end(one, 'lost', { rejoin: true })
  }

  // While it is away gateways can't say anything, and nobody is silent.
  async #busIsThere(): Promise<boolean> {
    try {
      await this.deps.bus.check()
      return true
    } catch {
      return false
    }
  }

  #extend(): void {
    const until = elapsedMs(this.deps.clock) + VOICE_LEASE_MS
    for (const one of this.deps.calls.participants()) one.leaseUntil = Math.max(one.leaseUntil, until)
  }
}
