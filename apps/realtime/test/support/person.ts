import type { Bus } from '@conntext/bus'
import {
  decodeNotice,
  type RealtimePort,
  type RtpCapabilities,
  type VoiceEvent,
  type VoiceEventData,
  type VoiceJoined,
  voiceSubjects,
} from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { capabilities, opus, vp8 } from '@conntext/testing/media'

type Deps = { bus: Bus; port: RealtimePort; member: { userId: string; sessionId: string; token: string } }
type Told = { t: VoiceEvent; d: VoiceEventData[VoiceEvent]; i: number; p: string }

/** Somebody at a gateway, as far as a node sees of it. */
export class Person {
  readonly gatewayId = newId()
  connectionId = newId()
  readonly told: Told[] = []
  joined: VoiceJoined | undefined
  #nodeId: string | undefined

  private constructor(private readonly deps: Deps) {}

  static async connect(deps: Deps): Promise<Person> {
    const person = new Person(deps)
    await deps.bus.subscribe(voiceSubjects.notices(person.gatewayId), (payload) => {
      const { to, frame } = decodeNotice(payload)
      const { t, d } = JSON.parse(frame) as Told
      for (const { c, p, i } of to) if (c === person.connectionId) person.told.push({ t, d, i, p })
    })
    return person
  }

  get userId(): string {
    return this.deps.member.userId
  }

  get sessionId(): string {
    return this.deps.member.sessionId
  }

  get token(): string {
    return this.deps.member.token
  }

  get port(): RealtimePort {
    return this.deps.port
  }

  /** From now on another node is asked, as when a gateway turns to the next one. */
  turnTo(port: RealtimePort): void {
    this.deps.port = port
  }

  get caller() {
    const { userId, sessionId } = this.deps.member
    return {
      userId,
      sessionId,
      kind: 'user' as const,
      scopes: null,
      address: null,
      userAgent: null,
      requestId: newId(),
    }
  }

  get participant() {
    const { channelId, participantId } = this.joined!
    const { userId, connectionId } = this
    return { channelId, participantId, userId, connectionId, ...(this.#nodeId ? { nodeId: this.#nodeId } : {}) }
  }

  async join(channelId: string, more: { resume?: string; rtpCapabilities?: RtpCapabilities } = {}) {
    const place = { gatewayId: this.gatewayId, connectionId: this.connectionId }
    const request = { caller: this.caller, place, channelId, rtpCapabilities: capabilities, ...more }
    const answer = await this.port.voiceJoin(request)
    this.joined = answer.joined
    this.#nodeId = answer.nodeId
    return answer
  }

  leave() {
    return this.port.voiceLeave({ participant: this.participant })
  }

  transport(direction: 'send' | 'recv') {
    return this.port.voiceCreateTransport({ participant: this.participant, direction })
  }

  /** Announces a stream without sending anything. */
  async produce(source: 'microphone' | 'camera' | 'screen' | 'screenAudio' = 'microphone', transportId?: string) {
    const audio = source === 'microphone' || source === 'screenAudio'
    const { producerId } = await this.port.voiceProduce({
      participant: this.participant,
      transportId: transportId ?? (await this.transport('send')).id,
      kind: audio ? 'audio' : 'video',
      source,
      rtpParameters: audio ? opus() : vp8(),
    })
    return producerId
  }

  moderate(person: Person, action: 'mute' | 'unmute' | 'deafen' | 'undeafen' | 'move' | 'disconnect', to?: string) {
    const { channelId } = person.joined!
    const asked = { caller: this.caller, reason: null, channelId, userId: person.userId, action }
    return this.port.voiceModerate({ ...asked, ...(to === undefined ? {} : { to }) })
  }

  /** What was told of an event, so far. */
  heard<E extends VoiceEvent>(event: E): VoiceEventData[E][] {
    return this.told.flatMap(({ t, d }) => (t === event ? [d as VoiceEventData[E]] : []))
  }

  async hears<E extends VoiceEvent>(event: E, which: (data: VoiceEventData[E]) => boolean = () => true) {
    return eventually(() => this.heard(event).find(which))
  }

  async state() {
    const { states } = await this.port.voiceStates({})
    return states.find(({ userId }) => userId === this.userId)
  }
}
