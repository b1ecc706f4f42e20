import { capabilities, receive, send } from '@conntext/testing/media'
import { cpuOf } from '../lib/process.ts'
import { type Joined, Peer, type Place } from './peer.ts'

/** A place with the processes that serve it. */
export type Side = Place & { pid: number; workerPid: number }
/** Who sends, each a microphone and a camera, and who receives all of it. */
export type Size = { senders: number; receivers: number }
/** What went through in a while: packets that receivers got, and processor time of the worker and of what is around it. */
export type Flow = { packets: number; seconds: number; workerUs: number; processUs: number }

const KINDS = ['audio', 'video'] as const

/** Everybody in the call, with real SRTP. */
export async function startCall(side: Side, { senders, receivers }: Size) {
  const peers = await Promise.all(Array.from({ length: senders + receivers }, (_, index) => Peer.connect(side, index)))
  const sending: Awaited<ReturnType<typeof send>>[] = []
  for (const peer of peers.slice(0, senders)) {
    await peer.join(capabilities)
    sending.push(await send(peer.signalling, [...KINDS]))
  }
  const receiving: Awaited<ReturnType<typeof receive>>[] = []
  for (const peer of peers.slice(senders)) receiving.push(await receiveAll(peer, await peer.join(capabilities)))
  await Promise.all(receiving.map(({ first }) => first))
  const total = () => receiving.reduce((sum, one) => sum + one.total(), 0)
  return {
    consumers: receivers * senders * KINDS.length,
    async flow(seconds: number): Promise<Flow> {
      const [packets, workerUs, processUs, began] = [
        total(),
        await cpuOf(side.workerPid),
        await cpuOf(side.pid),
        performance.now(),
      ]
      await Bun.sleep(seconds * 1_000)
      return {
        packets: total() - packets,
        seconds: (performance.now() - began) / 1_000,
        workerUs: (await cpuOf(side.workerPid)) - workerUs,
        processUs: (await cpuOf(side.pid)) - processUs,
      }
    },
    async [Symbol.asyncDispose]() {
      for (const one of [...receiving, ...sending]) one.close()
      await Promise.all(peers.map((peer) => peer.leave()))
      for (const peer of peers) peer.close()
    },
  }
}

export const receiveAll = (peer: Peer, { producers }: Joined) =>
  receive(
    peer.signalling,
    producers.map(({ id }) => id),
  )

/** Comes into a call as somebody new, until the first packet is there; answers how long it took, in milliseconds. */
export async function timeToFirstPacket(side: Side, index: number): Promise<number> {
  const peer = await Peer.connect(side, index)
  const began = performance.now()
  const received = await receiveAll(peer, await peer.join(capabilities))
  await received.first
  const took = performance.now() - began
  received.close()
  await peer.leave()
  peer.close()
  return took
}

const FINGERPRINT = Array.from({ length: 32 }, () => 'AB').join(':')

/** All that somebody asks who comes into a call of two, sends and receives there, and leaves; without any media. */
export async function signalJoin(peer: Peer, rtpParameters: object): Promise<void> {
  const { signalling } = peer
  const { producers } = await peer.join(capabilities)
  const dtlsParameters = {
    role: 'client' as const,
    fingerprints: [{ algorithm: 'sha-256' as const, value: FINGERPRINT }],
  }
  for (const direction of ['send', 'recv'] as const) {
    const { id: transportId } = await signalling.createTransport(direction)
    await signalling.connectTransport(transportId, dtlsParameters)
    if (direction === 'send') {
      const rtp = rtpParameters as Parameters<typeof signalling.produce>[0]['rtpParameters']
      await signalling.produce({ transportId, kind: 'audio', source: 'microphone', rtpParameters: rtp })
      continue
    }
    for (const { id } of producers) {
      const consumer = await signalling.consume(transportId, id)
      await signalling.resumeConsumer(consumer.id)
    }
  }
  await peer.leave()
}
