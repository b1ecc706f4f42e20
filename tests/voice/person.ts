// Somebody in a page: bundled with the SDK, and spoken with through the page's global `person`.
import { Api, GatewayClient, type Tokens } from '@conntext/sdk'
import {
  type Publication,
  type PublishOptions,
  type Subscription,
  VoiceClient,
  type VoiceOptions,
} from '@conntext/sdk/voice'
import { type Ear, listen, tone } from './sound.ts'

export type Given = {
  baseUrl: string
  /** Where to connect, in turns; the same unless given. */
  gateways?: string[]
  tokens: Tokens
  options?: Pick<VoiceOptions, 'iceTransportPolicy'>
}

type Heard = { source: string; subscription: Subscription; ear?: Ear; video?: HTMLVideoElement }
type Seen = { frames: number; width: number; codec: string }
type Named = 'microphone' | 'camera' | 'screen' | 'screenAudio'

/** Sizes that are small enough for many of them on one machine without a graphics card. */
const CAMERA = { width: 320, height: 240, frameRate: 10 }

export class Person {
  readonly #voice: VoiceClient
  readonly #gateway: GatewayClient
  readonly #received = new Map<string, Heard>()
  readonly #sent = new Map<Named, Publication>()
  readonly #stops: (() => void)[] = []
  /** What has happened, in order. */
  readonly #log: { what: string; detail: string }[] = []

  constructor({ baseUrl, gateways = [baseUrl], tokens, options }: Given) {
    const api = new Api({ baseUrl, tokens })
    const reconnect = { firstMs: 50, longestMs: 500 }
    const token = (refused?: string) => api.accessToken(refused)
    this.#gateway = new GatewayClient({ baseUrl: gateways, token, reconnect })
    this.#voice = new VoiceClient({ gateway: this.#gateway, api, autoSubscribe: true, reconnect, ...options })
    const note = (what: string, detail = '') => this.#log.push({ what, detail })
    this.#gateway.on('disconnected', ({ code }) => note('disconnected', String(code)))
    this.#voice.on('state', ({ state }) => note('state', state))
    this.#voice.on('interrupted', ({ media }) => note('interrupted', String(media)))
    this.#voice.on('recovered', ({ resumed }) => note('recovered', String(resumed)))
    this.#voice.on('moved', ({ to }) => note('moved', to))
    this.#voice.on('ended', ({ reason, error }) => note('ended', error ? `${reason}: ${error}` : reason))
    this.#voice.on('publicationEnded', ({ publication, reason, error }) =>
      note('publicationEnded', `${publication.source} ${reason}${error && 'code' in error ? ` ${error.code}` : ''}`),
    )
    this.#voice.on('track', ({ subscription, track }) => this.#take(subscription, track))
    this.#voice.on('subscriptionEnded', ({ subscription }) => this.#drop(subscription))
  }

  async connect(): Promise<string> {
    return (await this.#gateway.connect()).user.id
  }

  async join(channelId: string): Promise<void> {
    await this.#voice.join(channelId)
  }

  async leave(): Promise<void> {
    this.#voice.leave()
    for (const stop of this.#stops.splice(0)) stop()
    this.#sent.clear()
  }

  /** Sends a tone of so many Hertz: what is heard of it elsewhere tells who is speaking. */
  async speak(hertz: number, source: 'microphone' | 'screenAudio' = 'microphone'): Promise<void> {
    const { track, stop } = await tone(hertz)
    this.#stops.push(stop)
    this.#sent.set(source, await this.#voice.publish(track, { source, dtx: false }))
  }

  /** The browser's fake camera. */
  async showCamera(
    size: Partial<typeof CAMERA> = {},
    how: Pick<PublishOptions, 'simulcast' | 'codec' | 'scalabilityMode'> = {},
  ) {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { ...CAMERA, ...size } })
    const [track] = stream.getVideoTracks()
    this.#stops.push(() => track!.stop())
    this.#sent.set(
      'camera',
      await this.#voice.publish(track!, { source: 'camera', simulcast: false, codec: 'VP8', ...how }),
    )
  }

  /** What the browser gives of the screen, with its sound where there is any. */
  async shareScreen(): Promise<{ audio: boolean }> {
    const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: 10 }, audio: true })
    this.#stops.push(() => stream.getTracks().map((track) => track.stop()))
    const [video] = stream.getVideoTracks()
    const [audio] = stream.getAudioTracks()
    this.#sent.set('screen', await this.#voice.publish(video!, { source: 'screen' }))
    if (audio) this.#sent.set('screenAudio', await this.#voice.publish(audio, { source: 'screenAudio' }))
    return { audio: audio !== undefined }
  }

  async stopSending(source: Named): Promise<void> {
    this.#sent.get(source)?.close()
    this.#sent.delete(source)
  }

  async mute(muted: boolean): Promise<void> {
    this.#voice.setSelfMuted(muted)
  }

  async deafen(deafened: boolean): Promise<void> {
    this.#voice.setSelfDeafened(deafened)
  }

  /** Whether to receive others' cameras. */
  async look(looks: boolean): Promise<void> {
    for (const { source, subscription } of this.#received.values()) {
      if (source !== 'camera') continue
      if (looks) subscription.resume()
      else subscription.pause()
    }
  }

  /** How many packets of something of one's own have left the browser. */
  async sent(source: Named): Promise<number> {
    const stats = await this.#voice.publications.find((one) => one.source === source)?.getStats()
    const out = [...(stats?.values() ?? [])].filter(({ type }) => type === 'outbound-rtp')
    return out.reduce((sum, { packetsSent = 0 }) => sum + packetsSent, 0)
  }

  async prefer(spatialLayer: number): Promise<void> {
    for (const { source, subscription } of this.#received.values()) {
      if (source === 'camera') subscription.setPreferredLayers({ spatialLayer, temporalLayer: 2 })
    }
  }

  async state() {
    return {
      state: this.#voice.state,
      channelId: this.#voice.channelId,
      states: this.#voice.states(),
      speakers: this.#voice.speakers.map(({ userId }) => userId),
      producers: this.#voice.producers.map(({ userId, source, paused }) => ({ userId, source, paused })),
      sending: this.#voice.publications.map(({ source }) => source),
      log: this.#log,
    }
  }

  /** Which tone is heard of whom, in Hertz; 0 for silence. Only what is there is told. */
  async heard(source = 'microphone'): Promise<Record<string, number>> {
    const heard = [...this.#received.values()].filter((one) => one.ear && one.source === source)
    return Object.fromEntries(heard.map(({ subscription, ear }) => [subscription.userId, ear!.loudest()]))
  }

  /** Whether the browser can encode that, and decode it. */
  async knows(codec: string): Promise<boolean> {
    const isIt = ({ mimeType }: { mimeType: string }) => mimeType === `video/${codec}`
    return [RTCRtpSender, RTCRtpReceiver].every((side) => side.getCapabilities('video')?.codecs.some(isIt))
  }

  /** What is seen of whom, in which codec. `frames` are those that have been decoded so far. */
  async seen(source = 'camera'): Promise<Record<string, Seen>> {
    const seen: Record<string, Seen> = {}
    for (const { subscription, video, source: its } of this.#received.values()) {
      if (!video || its !== source) continue
      const stats = await subscription.getStats()
      for (const stat of stats?.values() ?? []) {
        if (stat.type !== 'inbound-rtp') continue
        const codec = stats?.get(stat.codecId)?.mimeType?.replace('video/', '') ?? ''
        seen[subscription.userId] = { frames: stat.framesDecoded ?? 0, width: stat.frameWidth ?? 0, codec }
      }
    }
    return seen
  }

  /**
   * Of a screenshot the part where somebody's camera is shown: how much of it is of the green that the fake camera's
   * background has, and how much of its brighter ones; 0 to 1.
   */
  async recognise(png: string, userId: string): Promise<{ ground: number; bright: number }> {
    const blob = await (await fetch(`data:image/png;base64,${png}`)).blob()
    const picture = await createImageBitmap(blob)
    const shown = [...this.#received.values()].find((one) => one.video && one.subscription.userId === userId)
    if (!shown?.video) return { ground: 0, bright: 0 }
    const { x, y, width, height } = shown.video.getBoundingClientRect()
    const canvas = new OffscreenCanvas(width, height)
    const drawing = canvas.getContext('2d')!
    drawing.drawImage(picture, -x, -y)
    const { data } = drawing.getImageData(0, 0, width, height)
    let [ground, bright] = [0, 0]
    for (let at = 0; at < data.length; at += 4) {
      const [red, green, blue] = [data[at]!, data[at + 1]!, data[at + 2]!]
      // The ground is darker in AV1 than in the others.
      if (blue > 60 || green < 60) continue
      if (green > 180) bright += 1
      else if (red < 60) ground += 1
    }
    const all = data.length / 4
    return { ground: ground / all, bright: bright / all }
  }

  /** By which way media comes and goes. */
  async ways(): Promise<{ protocol: string; type: string }[]> {
    const { send, recv } = await this.#voice.transportStats()
    return [send, recv].flatMap((stats) => (stats ? wayOf(stats) : []))
  }

  async serverStats() {
    return this.#voice.serverStats()
  }

  #take(subscription: Subscription, track: MediaStreamTrack): void {
    this.#drop(subscription)
    const { source } = subscription
    const stream = new MediaStream([track])
    if (track.kind === 'audio') {
      this.#received.set(subscription.producer.id, { source, subscription, ear: listen(stream) })
      return
    }
    const video = Object.assign(document.createElement('video'), { autoplay: true, muted: true, srcObject: stream })
    document.body.append(video)
    void video.play().catch(() => {})
    this.#received.set(subscription.producer.id, { source, subscription, video })
  }

  #drop({ producer }: Subscription): void {
    const known = this.#received.get(producer.id)
    known?.ear?.stop()
    known?.video?.remove()
    this.#received.delete(producer.id)
  }
}

function wayOf(stats: RTCStatsReport): { protocol: string; type: string }[] {
  const all = new Map([...stats.values()].map((stat) => [stat.id, stat]))
  const selected = [...all.values()].find(({ type }) => type === 'transport')?.selectedCandidatePairId
  const local = all.get(all.get(selected)?.localCandidateId)
  return local ? [{ protocol: local.protocol, type: local.candidateType }] : []
}

Object.assign(globalThis, {
  start: async (given: Given) => {
    const person = new Person(given)
    Object.assign(globalThis, { person })
    return person.connect()
  },
})
