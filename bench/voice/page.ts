// Runs in a page: what a browser does to be in a call, the same wherever the call is.
import { Device } from 'mediasoup-client'
import type { Transport } from 'mediasoup-client/types'
import { type Joined, Peer, type Place } from './peer.ts'

type Capabilities = Parameters<Device['load']>[0]['routerRtpCapabilities']
/** Somebody new, whose browser knows already what calls there are made in. */
type Newcomer = { place: Place; index: number }

const CAMERA = { width: 320, height: 240, frameRate: 30 }
const devices = new Map<string, Device>()

/** Knows the codecs once one has been there, as from one call to the next. */
async function deviceOf(peer: Peer, { url }: Place): Promise<Device> {
  const known = devices.get(url)
  if (known) return known
  const { rtpCapabilities } = await peer.join({ codecs: [], headerExtensions: [] })
  await peer.leave()
  const device = await Device.factory()
  await device.load({ routerRtpCapabilities: rtpCapabilities as Capabilities })
  devices.set(url, device)
  return device
}

async function open(peer: Peer, device: Device, direction: 'send' | 'recv'): Promise<Transport> {
  const given = (await peer.signalling.createTransport(direction)) as Parameters<Device['createSendTransport']>[0]
  const transport = direction === 'send' ? device.createSendTransport(given) : device.createRecvTransport(given)
  transport.on('connect', ({ dtlsParameters }, done, failed) => {
    const asked = dtlsParameters as Parameters<typeof peer.signalling.connectTransport>[1]
    peer.signalling.connectTransport(transport.id, asked).then(() => done(), failed)
  })
  return transport
}

const page = {
  /** Sends a camera into a call, for as long as the page is there. */
  async sendCamera({ place, index }: Newcomer): Promise<void> {
    const peer = await Peer.connect(place, index)
    const device = await deviceOf(peer, place)
    await peer.join(device.recvRtpCapabilities as Joined['rtpCapabilities'])
    const transport = await open(peer, device, 'send')
    transport.on('produce', ({ kind, rtpParameters }, done, failed) => {
      const asked = { transportId: transport.id, kind, source: 'camera', rtpParameters } as Parameters<
        typeof peer.signalling.produce
      >[0]
      peer.signalling.produce(asked).then(({ producerId }) => done({ id: producerId }), failed)
    })
    const stream = await navigator.mediaDevices.getUserMedia({ video: CAMERA })
    const codec = device.sendRtpCapabilities.codecs!.find(({ mimeType }) => mimeType === 'video/VP8')!
    await transport.produce({ track: stream.getVideoTracks()[0]!, codec })
  },

  /** Comes into a call, and answers how long it took until a picture of it was decoded, in milliseconds. */
  async timeToFirstFrame({ place, index }: Newcomer): Promise<number> {
    const peer = await Peer.connect(place, index)
    const device = await deviceOf(peer, place)
    const began = performance.now()
    const { producers } = await peer.join(device.recvRtpCapabilities as Joined['rtpCapabilities'])
    const transport = await open(peer, device, 'recv')
    const told = await peer.signalling.consume(transport.id, producers[0]!.id)
    const consumer = await transport.consume(told as Parameters<Transport['consume']>[0])
    const frame = firstFrame(consumer.track)
    await peer.signalling.resumeConsumer(consumer.id)
    await frame
    const took = performance.now() - began
    transport.close()
    await peer.leave()
    peer.close()
    return took
  },
}

/** Chromium's, of which TypeScript doesn't know yet. */
declare class MediaStreamTrackProcessor {
  constructor(options: { track: MediaStreamTrack })
  readonly readable: ReadableStream<VideoFrame>
}

async function firstFrame(track: MediaStreamTrack): Promise<void> {
  const reader = new MediaStreamTrackProcessor({ track }).readable.getReader()
  const { value } = await reader.read()
  value?.close()
  await reader.cancel()
}

export type BenchPage = typeof page
Object.assign(globalThis, { page })
