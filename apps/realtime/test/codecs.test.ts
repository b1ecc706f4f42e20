import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createWorker } from 'mediasoup'
import type { PlainTransport, Router, RtpCodecParameters, Worker } from 'mediasoup/types'
import { mediaCodecs } from '../src/media/codecs.ts'
import { locateWorker } from '../src/worker/locate.ts'

const location = await locateWorker()
const withWorker = location.kind === 'found' ? describe : describe.skip

withWorker('what calls are made in', () => {
  let worker: Worker
  let router: Router
  let transport: PlainTransport
  let ssrc = 1

  beforeAll(async () => {
    worker = await createWorker({ workerBin: location.kind === 'found' ? location.path : '' })
    router = await worker.createRouter({ mediaCodecs })
    transport = await router.createPlainTransport({ listenInfo: { protocol: 'udp', ip: '127.0.0.1' } })
  })
  afterAll(() => worker.close())

  const codec = (mimeType: string, parameters: Record<string, unknown> = {}): RtpCodecParameters => ({
    ...{ mimeType, payloadType: 96, clockRate: 90_000, parameters },
    rtcpFeedback: [{ type: 'nack' }, { type: 'nack', parameter: 'pli' }, { type: 'transport-cc' }],
  })
  const h264 = (profile: string) =>
    codec('video/H264', { 'packetization-mode': 1, 'profile-level-id': profile, 'level-asymmetry-allowed': 1 })

  const produce = (given: RtpCodecParameters, encoding: object = {}) =>
    transport.produce({
      kind: 'video',
      rtpParameters: { codecs: [given], encodings: [{ ssrc: ++ssrc, ...encoding }], rtcp: { cname: 'c' } },
    })

  test('opus mends losses and is silent in silence; every picture can be sent again and tells what arrives when', () => {
    const { codecs = [], headerExtensions = [] } = router.rtpCapabilities
    const opus = codecs.find(({ mimeType }) => mimeType === 'audio/opus')
    expect(opus).toMatchObject({ channels: 2, parameters: { useinbandfec: 1, usedtx: 1 } })
    expect(opus!.rtcpFeedback).toContainEqual({ type: 'transport-cc', parameter: '' })
    const pictures = codecs.filter(({ kind, mimeType }) => kind === 'video' && mimeType !== 'video/rtx')
    expect(new Set(pictures.map(({ mimeType }) => mimeType))).toEqual(
      new Set(['video/VP8', 'video/VP9', 'video/H264', 'video/AV1']),
    )
    for (const { preferredPayloadType, rtcpFeedback } of pictures) {
      expect(codecs.some(({ parameters }) => parameters?.apt === preferredPayloadType)).toBe(true)
      expect(rtcpFeedback).toContainEqual({ type: 'transport-cc', parameter: '' })
      expect(rtcpFeedback).toContainEqual({ type: 'nack', parameter: 'pli' })
    }
    // What simulcast, SVC, congestion control and lip sync lean on.
    const extensions = headerExtensions.filter(({ kind }) => kind === 'video').map(({ uri }) => uri as string)
    for (const part of [
      'sdes:mid',
      'sdes:rtp-stream-id',
      'repaired-rtp-stream-id',
      'transport-wide-cc',
      'abs-send-time',
      'abs-capture-time',
      'dependency-descriptor',
      'video-orientation',
    ]) {
      expect(extensions.some((uri) => uri.includes(part))).toBe(true)
    }
    expect(headerExtensions.some(({ kind, uri }) => kind === 'audio' && uri.includes('ssrc-audio-level'))).toBe(true)
  })

  test('each profile of H264 is taken, and reaches those who can decode it; VP9 of profile 0 alone', async () => {
    const { rtpCapabilities } = router
    const baseline = {
      ...rtpCapabilities,
      codecs: rtpCapabilities.codecs!.filter(
        ({ mimeType, parameters }) => mimeType !== 'video/H264' || parameters?.['profile-level-id'] === '42e01f',
      ),
    }
    for (const profile of ['42e01f', '4d001f', '64001f']) {
      const { id: producerId } = await produce(h264(profile))
      expect(router.canConsume({ producerId, rtpCapabilities })).toBe(true)
      expect(router.canConsume({ producerId, rtpCapabilities: baseline })).toBe(profile === '42e01f')
    }
    await produce(codec('video/VP9', { 'profile-id': 0 }))
    await expect(produce(codec('video/VP9', { 'profile-id': 2 }))).rejects.toThrow('unsupported codec')
  })

  test('VP9 and AV1 go in layers of one stream, VP8 and H264 in streams of their own', async () => {
    const typeOf = async (given: RtpCodecParameters, encodings: object[]) => {
      const rtpParameters = {
        codecs: [given],
        encodings: encodings.map((one) => ({ ssrc: ++ssrc, ...one })),
        rtcp: { cname: 'c' },
      }
      return (await transport.produce({ kind: 'video', rtpParameters })).type
    }
    const layers = [{ scalabilityMode: 'L3T3_KEY' }]
    expect(await typeOf(codec('video/VP9', { 'profile-id': 0 }), layers)).toBe('svc')
    expect(await typeOf(codec('video/AV1'), layers)).toBe('svc')
    const streams = [{ scalabilityMode: 'L1T3' }, { scalabilityMode: 'L1T3' }]
    expect(await typeOf(codec('video/VP8'), streams)).toBe('simulcast')
    expect(await typeOf(h264('42e01f'), streams)).toBe('simulcast')
  })
})
