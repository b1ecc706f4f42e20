import { describe, expect, test } from 'bun:test'
import { FormatRegistry } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import {
  decodeNotice,
  encodeNotice,
  VOICE_SILENCE_MS,
  VoiceBoard,
  type VoiceState,
  type VoiceWords,
  voiceClientFrames,
  voiceFrame,
} from '../src/index.ts'
import './support/formats.ts'

const id = (n: number) => `0199a000-0000-7000-8000-${String(n).padStart(12, '0')}`
const load = { load: 0, calls: 0, participants: 0, open: true }

const state = (userId: string, channelId: string, change: Partial<VoiceState> = {}): VoiceState => ({
  ...{ userId, channelId, joinedAt: '2026-01-01T00:00:00.000Z', selfMuted: true, selfDeafened: false },
  ...{ muted: false, deafened: false, suppressed: false, camera: false, screen: false },
  ...change,
})

const all = (n: string, i: number, said: { p: string; state: VoiceState }[]): VoiceWords => ({
  ...{ n, i, k: 'all', part: 0, parts: 1 },
  said,
})

describe('the board', () => {
  test('shows what nodes say, and tells each change once', () => {
    const board = new VoiceBoard()
    expect(board.hear(all('a', 0, []), 0)).toEqual({ changes: [], ask: false })
    const joined = { p: id(1), state: state('u', 'c') }
    expect(board.hear({ n: 'a', i: 1, k: 'changed', said: [joined] }, 0).changes).toEqual([
      { kind: 'joined', state: joined.state },
    ])
    const shown = { p: id(1), state: state('u', 'c', { camera: true }) }
    const again = board.hear({ n: 'a', i: 2, k: 'changed', said: [shown] }, 0).changes
    expect(again).toEqual([{ kind: 'updated', state: shown.state }])
    expect(board.hear({ n: 'a', i: 3, k: 'changed', said: [shown] }, 0).changes).toEqual([])
    expect(board.nodeOf('c')).toBe('a')
    const left = board.hear({ n: 'a', i: 4, k: 'changed', said: [{ p: id(1) }] }, 0).changes
    expect(left).toEqual([{ kind: 'left', channelId: 'c', userId: 'u' }])
    expect(board.states()).toEqual([])
  })

  test('who joins elsewhere is in one call, whichever node is heard first', () => {
    for (const order of [
      ['a', 'b'],
      ['b', 'a'],
    ]) {
      const board = new VoiceBoard()
      for (const n of order) board.hear(all(n, 0, [{ p: id(n === 'a' ? 1 : 2), state: state('u', n) }]), 0)
      expect(board.states().map(({ channelId }) => channelId)).toEqual(['b'])
      // The older one's end changes nothing.
      expect(board.hear({ n: 'a', i: 1, k: 'changed', said: [{ p: id(1) }] }, 0).changes).toEqual([])
      expect(board.stateOf('u')?.channelId).toBe('b')
    }
  })

  test('what was missed is asked for, and put right by all that the node has', () => {
    const board = new VoiceBoard()
    expect(board.hear({ n: 'a', i: 7, k: 'changed', said: [] }, 0).ask).toBe(true)
    board.hear(all('a', 7, [{ p: id(1), state: state('u', 'c') }]), 0)
    expect(board.hear({ n: 'a', i: 9, k: 'changed', said: [] }, 0).ask).toBe(true)
    expect(board.hear({ n: 'a', i: 10, k: 'alive', url: null, load }, 0).ask).toBe(true)
    // In parts, the later first.
    const part = { n: 'a', i: 10, k: 'all', parts: 2 } as const
    board.hear({ ...part, part: 1, said: [{ p: id(3), state: state('w', 'd') }] }, 0)
    const { changes, ask } = board.hear({ ...part, part: 0, said: [{ p: id(2), state: state('v', 'c') }] }, 0)
    expect(ask).toBe(false)
    expect(changes.map(({ kind }) => kind).sort()).toEqual(['joined', 'joined', 'left'])
    expect(board.hear({ n: 'a', i: 10, k: 'alive', url: null, load }, 0).ask).toBe(false)
  })

  test('a node that falls silent is forgotten with all that it said; one that says so, at once', () => {
    const board = new VoiceBoard()
    board.hear(all('a', 0, [{ p: id(1), state: state('u', 'c') }]), 0)
    board.hear(all('b', 0, [{ p: id(2), state: state('v', 'd') }]), VOICE_SILENCE_MS)
    expect(board.sweep(VOICE_SILENCE_MS)).toEqual({ changes: [], gone: [] })
    expect(board.sweep(VOICE_SILENCE_MS + 1)).toEqual({
      changes: [{ kind: 'left', channelId: 'c', userId: 'u' }],
      gone: ['a'],
    })
    expect(board.hear({ n: 'b', i: 0, k: 'gone' }, 0).changes).toHaveLength(1)
    expect(board.nodes()).toEqual([])
  })

  test('while the bus was away nobody fell silent', () => {
    const board = new VoiceBoard()
    board.hear(all('a', 0, [{ p: id(1), state: state('u', 'c') }]), 0)
    board.interrupted(60_000)
    expect(board.sweep(60_000).gone).toEqual([])
    expect(board.hear({ n: 'a', i: 0, k: 'alive', url: null, load }, 60_000).ask).toBe(true)
  })
})

describe('frames', () => {
  const parameters = { codecs: [{ mimeType: 'audio/opus', payloadType: 111, clockRate: 48_000, channels: 2 }] }
  const produce = (rtpParameters: object) => ({
    ...{ op: 'voice.produce', transportId: id(1), kind: 'audio', source: 'microphone', rtpParameters },
  })
  const accepts = (frame: { op: string }) =>
    TypeCompiler.Compile(voiceClientFrames[frame.op as 'voice.produce']).Check(frame)

  test('RTP parameters are taken within bounds, and nothing deeper or larger', () => {
    expect(FormatRegistry.Has('uuid')).toBe(true)
    expect(accepts(produce(parameters))).toBe(true)
    const codec = parameters.codecs[0]!
    const bad = [
      {},
      { codecs: [] },
      { codecs: Array.from({ length: 17 }, () => codec) },
      { codecs: [{ ...codec, payloadType: 128 }] },
      { codecs: [{ ...codec, mimeType: 'application/opus' }] },
      { codecs: [{ ...codec, parameters: { a: { b: 1 } } }] },
      { codecs: [{ ...codec, parameters: { a: 'x'.repeat(257) } }] },
      { codecs: [{ ...codec, parameters: { 'a b': 1 } }] },
      { codecs: [{ ...codec, parameters: { a: 2 ** 31 } }] },
      {
        codecs: [{ ...codec, parameters: Object.fromEntries(Array.from({ length: 33 }, (_, index) => [index, 1])) }],
      },
      { ...parameters, encodings: [{ ssrc: -1 }] },
      { ...parameters, encodings: [{ ssrc: 2 ** 32 }] },
      { ...parameters, encodings: [{ scalabilityMode: 'L9999999T1' }] },
      { ...parameters, encodings: Array.from({ length: 5 }, () => ({ ssrc: 1 })) },
      { ...parameters, more: 1 },
    ]
    for (const one of bad) expect([one, accepts(produce(one))]).toEqual([one, false])
  })

  test('a notice keeps the frame as it is', () => {
    const frame = voiceFrame('user:x', 'voice.ended', '2026-01-01T00:00:00.000Z', {
      ...{ channelId: id(1), reason: 'lost', rejoin: true },
    })
    expect(JSON.parse(frame)).toMatchObject({ op: 'event', t: 'voice.ended', stream: 'user' })
    const to = [{ c: id(3), p: id(2), i: 4 }]
    expect(decodeNotice(encodeNotice(to, frame))).toEqual({ to, frame })
  })
})
