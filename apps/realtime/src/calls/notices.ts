import type { Bus } from '@conntext/bus'
import {
  encodeNotice,
  type NoticeTo,
  userStream,
  type VoiceEvent,
  type VoiceEventData,
  voiceFrame,
  voiceSubjects,
} from '@conntext/contracts'
import type { Clock, Logger } from '@conntext/kernel'
import type { Participant } from './participant.ts'

const OWN = userStream('')

/** Tells participants what is for them alone, by the gateways that they are connected to. */
export class Notices {
  constructor(private readonly deps: { bus: Bus; clock: Clock; log: Logger }) {}

  tell<E extends VoiceEvent>(participants: Iterable<Participant>, event: E, data: VoiceEventData[E]): void {
    const byGateway = new Map<string, NoticeTo[]>()
    for (const participant of participants) {
      participant.number += 1
      const { gatewayId, connectionId } = participant.place
      const to = byGateway.get(gatewayId) ?? []
      byGateway.set(gatewayId, to)
      to.push({ c: connectionId, p: participant.id, i: participant.number })
    }
    for (const [gatewayId, to] of byGateway) this.send(gatewayId, to, event, data)
  }

  /** The same for who is no participant (any more). */
  send<E extends VoiceEvent>(gatewayId: string, to: NoticeTo[], event: E, data: VoiceEventData[E]): void {
    const frame = voiceFrame(OWN, event, this.deps.clock.now().toISOString(), data)
    // What is lost shows by its number.
    this.deps.bus
      .publish(voiceSubjects.notices(gatewayId), encodeNotice(to, frame))
      .catch((error: unknown) => this.deps.log.debug({ err: error, event }, 'a notice of a call could not be sent'))
  }
}
