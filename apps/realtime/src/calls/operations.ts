import {
  MAX_PRODUCERS,
  type VoiceConsumer,
  type VoiceKind,
  type VoicePort,
  type VoiceSource,
  type VoiceStats,
  type VoiceTransport,
} from '@conntext/contracts'
import { requestErrors } from '@conntext/http'
import type { VoiceFigures } from '../figures/figures.ts'
import type { Announced } from '../media/announced.ts'
import type { Call } from './call.ts'
import type { Calls } from './calls.ts'
import { voiceErrors } from './errors.ts'
import { type Media, refusedByMediasoup } from './media.ts'
import type { Notices } from './notices.ts'
import type { Participant } from './participant.ts'
import { assertMay, limitsOf, PERMISSION_OF, type PermitDeps } from './permits.ts'
import { iceOf, statsOf, toConsumer, toTransport } from './translate.ts'

export type OperationsDeps = PermitDeps & {
  calls: Calls
  notices: Notices
  announced: Announced
  figures: Pick<VoiceFigures, 'awaitMedia'>
}

type Asked<K extends keyof VoicePort> = Parameters<VoicePort[K]>[0]
type Asking = Asked<'voiceLeave'>

const KIND_OF: Record<VoiceSource, VoiceKind> = {
  microphone: 'audio',
  camera: 'video',
  screen: 'video',
  screenAudio: 'audio',
}

/** What a participant asks for in their call. Whatever isn't theirs isn't there. */
export class Operations {
  constructor(private readonly deps: OperationsDeps) {}

  async leave({ participant }: Asking): Promise<void> {
    const found = this.#find(participant)
    if (found) this.deps.calls.end(found)
  }

  /** The connection is gone; where the participation has another one by now, nothing happens. */
  async detach({ participant }: Asking, now: number): Promise<void> {
    const found = this.#find(participant)
    if (found) found.awaySince ??= now
  }

  createTransport({ direction, participant }: Asked<'voiceCreateTransport'>): Promise<VoiceTransport> {
    const { announced, figures } = this.deps
    return this.#with(participant, async ({ media, one }) => {
      const transport = await media.createTransport(direction)
      figures.awaitMedia(one, direction, transport)
      return toTransport(transport, announced.addresses)
    })
  }

  connectTransport(asked: Asked<'voiceConnectTransport'>): Promise<void> {
    return this.#with(asked.participant, ({ media }) => media.connect(asked.transportId, asked.dtlsParameters))
  }

  produce({ participant, transportId, ...given }: Asked<'voiceProduce'>): Promise<{ producerId: string }> {
    const { source, kind, paused = false, rtpParameters } = given
    return this.#with(participant, async ({ media, one, call }) => {
      const { channelId } = call
      if (KIND_OF[source] !== kind) throw voiceErrors.invalidMedia(`A ${source} is ${KIND_OF[source]}.`)
      const may = () => assertMay(this.deps, one.caller, PERMISSION_OF[source], { channelId, op: 'voice.produce' })
      await may()
      const same = [...media.outgoing.values()].filter((sent) => sent.source === source)
      if (same.length >= MAX_PRODUCERS[source]) throw voiceErrors.tooManyStreams()
      const { videoLimit } = await limitsOf(this.deps.guard, channelId)
      call.assertRoomFor(one, kind, videoLimit)
      const held = one.holds({ source })
      const producer = await media.produce(transportId, { kind, source, rtpParameters, paused, held })
      try {
        // While the worker was busy the permission may have gone, and others may have come first.
        await may()
        call.assertRoomFor(one, kind, videoLimit)
      } catch (error) {
        producer.close()
        throw error
      }
      await call.offer(one, producer, source)
      // A moderator, or a permission that is gone, may have come in between.
      await one.settle()
      const told = call.producer(producer.id)
      if (!told) throw voiceErrors.noMedia()
      const others = [...call.participants.values()].filter((other) => other !== one)
      this.deps.notices.tell(others, 'voice.producerAdded', { channelId, producer: told })
      this.deps.calls.changed(one)
      return { producerId: producer.id }
    })
  }

  consume({ participant, transportId, producerId }: Asked<'voiceConsume'>): Promise<VoiceConsumer> {
    return this.#with(participant, async ({ media, one, call }) => {
      media.carrier(transportId, 'recv')
      await call.bring(producerId, media.room)
      return toConsumer(await media.consume(transportId, producerId, one.rtpCapabilities))
    })
  }

  resumeConsumer({ participant, consumerId }: Asked<'voiceResumeConsumer'>): Promise<void> {
    return this.#pause(participant, { consumerId }, false)
  }

  setPreferredLayers(asked: Asked<'voiceSetPreferredLayers'>): Promise<void> {
    const { participant, consumerId, spatialLayer, temporalLayer } = asked
    return this.#with(participant, async ({ media }) => {
      const incoming = media.incoming.get(consumerId)
      if (!incoming) throw voiceErrors.noSuchConsumer()
      try {
        const layers = { spatialLayer, ...(temporalLayer === undefined ? {} : { temporalLayer }) }
        await incoming.consumer.setPreferredLayers(layers)
      } catch (error) {
        if (incoming.consumer.closed) throw voiceErrors.noSuchConsumer()
        throw refusedByMediasoup(error)
      }
    })
  }

  pause({ participant, producerId, consumerId }: Asked<'voicePause'>): Promise<void> {
    return this.#pause(participant, { producerId, consumerId }, true)
  }

  resume({ participant, producerId, consumerId }: Asked<'voiceResume'>): Promise<void> {
    return this.#pause(participant, { producerId, consumerId }, false)
  }

  closeProducer({ participant, producerId }: Asked<'voiceCloseProducer'>): Promise<void> {
    return this.#with(participant, async ({ media, one }) => {
      const sent = media.outgoing.get(producerId)
      if (!sent) throw voiceErrors.noSuchProducer()
      sent.producer.close()
      await one.settle()
    })
  }

  restartIce({ participant, transportId }: Asked<'voiceRestartIce'>) {
    return this.#with(participant, async ({ media }) => {
      const { transport } = media.carrier(transportId)
      try {
        return { iceParameters: iceOf(await transport.restartIce()) }
      } catch (error) {
        if (transport.closed) throw voiceErrors.noSuchTransport()
        throw error
      }
    })
  }

  stats({ participant }: Asking): Promise<VoiceStats> {
    return this.#with(participant, ({ media }) => statsOf(media))
  }

  #pause(
    participant: Asking['participant'],
    { producerId, consumerId }: { producerId?: string | undefined; consumerId?: string | undefined },
    paused: boolean,
  ): Promise<void> {
    return this.#with(participant, async ({ media, one, call }) => {
      if (producerId !== undefined && consumerId !== undefined) {
        throw requestErrors.invalid('Name a producer or a consumer, not both.')
      }
      if (producerId !== undefined) {
        const sent = media.outgoing.get(producerId)
        if (!sent) throw voiceErrors.noSuchProducer()
        sent.selfPaused = paused
        await settleAndTell(this.deps, one)
        return
      }
      if (consumerId !== undefined) {
        const incoming = media.incoming.get(consumerId)
        if (!incoming) throw voiceErrors.noSuchConsumer()
        incoming.selfPaused = paused
      } else one.selfDeafened = paused
      await one.settle()
      if (!call.closed) this.deps.calls.changed(one)
    })
  }

  #find({ channelId, participantId, userId, connectionId }: Asking['participant']): Participant | undefined {
    const found = this.deps.calls.find(participantId)
    const isTheirs = found?.userId === userId && found.place.connectionId === connectionId
    return isTheirs && found.call.channelId === channelId ? found : undefined
  }

  /** @throws voice.notInCall (404), voice.noMedia (409), voice.tooMany (429) */
  async #with<T>(
    participant: Asking['participant'],
    work: (context: { one: Participant; media: Media; call: Call }) => Promise<T>,
  ): Promise<T> {
    const one = this.#find(participant)
    if (!one) throw voiceErrors.notInCall()
    return one.serial.run(async () => {
      if (one.over) throw voiceErrors.notInCall()
      const { media, call } = one
      if (!media || media.closed) throw voiceErrors.noMedia()
      return work({ one, media, call })
    })
  }
}

/** Makes the media what it should be by now, and tells everybody what of it they may know. Through `serial`. */
export async function settleAndTell(
  { calls, notices }: Pick<OperationsDeps, 'calls' | 'notices'>,
  one: Participant,
): Promise<void> {
  const { call } = one
  const outgoing = [...(one.media?.outgoing.values() ?? [])]
  const before = new Map(outgoing.map(({ producer }) => [producer.id, producer.paused]))
  await one.settle()
  for (const [id, paused] of before) {
    const producer = call.producer(id)
    if (!producer || producer.paused === paused) continue
    notices.tell(call.participants.values(), 'voice.producerUpdated', { channelId: call.channelId, producer })
  }
  calls.changed(one)
}
