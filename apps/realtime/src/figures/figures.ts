import { readFile } from 'node:fs/promises'
import type { VoiceDirection } from '@conntext/contracts'
import { AppError } from '@conntext/kernel'
import type { WebRtcTransport, Worker } from 'mediasoup/types'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Calls } from '../calls/calls.ts'
import type { Participant } from '../calls/participant.ts'
import type { WorkerSupervisor } from '../worker/supervisor.ts'
import type { Sample, StreamOf } from './quality.ts'
import { within } from './within.ts'

const JITTER_S = [0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5]
const ROUND_TRIP_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2]
const LOSS = [0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
const SCORE = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
const JOIN_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const STREAM = ['direction', 'kind', 'source'] as const
/** A worker that hangs must not hold up whoever asks for figures. */
const WORKER_PATIENCE_MS = 1_000
const PAGE_BYTES = 4_096

export type VoiceFigures = ReturnType<typeof createVoiceFigures>

/**
 * The figures of calls for Prometheus, on a registry of its own unless one is given. Labels are of few values: nothing
 * is told by call, channel or person.
 */
export function createVoiceFigures(registry = new Registry()) {
  const registers = [registry]
  const named = (name: string, help: string) => ({ name: `conntext_voice_${name}`, help, registers })
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Counter({ ...named(`${name}_total`, help), labelNames })
  const histogram = <L extends string>(name: string, help: string, buckets: number[], labelNames: readonly L[]) =>
    new Histogram({ ...named(name, help), buckets, labelNames })

  const packets = counter('packets', 'RTP packets, as sampled', STREAM)
  const bytes = counter('bytes', 'Bytes of RTP, as sampled', STREAM)
  const lost = counter('packets_lost', 'RTP packets that did not arrive, as sampled', STREAM)
  const jitter = histogram('jitter_seconds', 'Jitter of streams, sampled', JITTER_S, STREAM)
  const roundTrip = histogram('round_trip_seconds', 'Round trip to clients, sampled', ROUND_TRIP_S, STREAM)
  const loss = histogram('loss_ratio', 'Share of packets that did not arrive, sampled', LOSS, STREAM)
  const score = histogram('score', "Streams' quality from 0 to 10 by mediasoup, sampled", SCORE, STREAM)
  const joins = counter('joins', 'Attempts to join a call, by outcome', ['outcome'])
  const joining = histogram('join_seconds', 'Time to take somebody into a call', JOIN_S, ['outcome'])
  const toMedia = histogram('time_to_media_seconds', 'From joining until media may flow', JOIN_S, ['direction'])
  const deaths = counter('worker_deaths', 'Media workers that died')
  deaths.inc(0)
  const flowing = new WeakMap<Participant, Set<VoiceDirection>>()

  return {
    registry,
    /** Tells of what is now whenever it is asked for. */
    observe(calls: Calls, supervisor: WorkerSupervisor): () => void {
      registerCalls(registers, calls)
      registerWorkers(registers, supervisor)
      return supervisor.subscribe(({ kind }) => {
        if (kind === 'down') deaths.inc()
      })
    },
    sampled(of: StreamOf, sample: Sample): void {
      packets.inc(of, sample.packets)
      bytes.inc(of, sample.bytes)
      lost.inc(of, sample.lost)
      jitter.observe(of, sample.jitterMs / 1_000)
      score.observe(of, sample.score)
      if (sample.roundTripMs !== undefined) roundTrip.observe(of, sample.roundTripMs / 1_000)
      const sent = sample.packets + sample.lost
      if (sent > 0) loss.observe(of, sample.lost / sent)
    },
    /** Counts how an attempt to join ends. */
    async join<T>(attempt: () => Promise<T>): Promise<T> {
      const began = performance.now()
      const done = (outcome: string) => {
        joins.inc({ outcome })
        joining.observe({ outcome }, (performance.now() - began) / 1_000)
      }
      try {
        const joined = await attempt()
        done('ok')
        return joined
      } catch (error) {
        done(error instanceof AppError ? error.code : 'failed')
        throw error
      }
    },
    /** Sees when the first transport of each direction is connected. */
    awaitMedia(participant: Participant, direction: VoiceDirection, transport: WebRtcTransport): void {
      const known = flowing.get(participant) ?? new Set()
      flowing.set(participant, known)
      transport.observer.on('dtlsstatechange', (state) => {
        if (state !== 'connected' || known.has(direction)) return
        known.add(direction)
        toMedia.observe({ direction }, Math.max(0, Date.now() - participant.joinedAt.getTime()) / 1_000)
      })
    },
  }
}

type Registers = Registry[]

function registerCalls(registers: Registers, calls: Calls): void {
  const gauge = <L extends string>(
    ...[name, help, labelNames, values]: [string, string, readonly L[], () => [Record<L, string>, number][]]
  ) =>
    new Gauge<L>({
      ...{ name: `conntext_voice_${name}`, help, registers, labelNames },
      collect() {
        this.reset()
        for (const [labels, count] of values()) this.inc(labels, count)
      },
    })
  gauge('calls', 'Calls on this node', [], () => [[{}, calls.size.calls]])
  gauge('participants', 'Participants of the calls on this node', [], () => [[{}, calls.size.participants]])
  const media = () => calls.participants().flatMap(({ media, call }) => (media ? [{ media, call }] : []))
  gauge('producers', 'What is sent into calls', ['kind', 'source', 'paused'], () =>
    media().flatMap(({ media: { outgoing } }) =>
      [...outgoing.values()].map(({ producer: { kind, paused }, source }) => [
        { kind, source, paused: String(paused) },
        1,
      ]),
    ),
  )
  gauge('consumers', 'What is received from calls', ['kind', 'source', 'paused'], () =>
    media().flatMap(({ media: { incoming }, call }) =>
      [...incoming.values()].map(({ consumer: { kind, paused, producerId } }) => [
        { kind, source: call.sent.get(producerId)?.source ?? 'other', paused: String(paused) },
        1,
      ]),
    ),
  )
  gauge('transports', "Transports, by their clients' connections", ['direction', 'ice', 'dtls', 'protocol'], () =>
    media().flatMap(({ media: { carriers } }) =>
      [...carriers.values()].map(({ transport, direction }) => {
        const { iceState: ice, dtlsState: dtls, iceSelectedTuple } = transport
        return [{ direction, ice, dtls, protocol: iceSelectedTuple?.protocol ?? 'none' }, 1]
      }),
    ),
  )
}

function registerWorkers(registers: Registers, supervisor: WorkerSupervisor): void {
  const labelNames = ['worker'] as const
  const placeOf = (worker: Worker) => ({ worker: String(worker.appData.place ?? 0) })
  const named = (name: string, help: string) => ({ name: `conntext_voice_${name}`, help, registers })
  new Gauge({
    ...named('workers', 'Media workers that are up'),
    collect() {
      this.set(supervisor.workers().length)
    },
  })
  new Counter({
    ...named('worker_cpu_seconds_total', 'Processor time of media workers; from nothing again when one is replaced'),
    labelNames,
    async collect() {
      this.reset()
      await Promise.all(
        supervisor.workers().map(async (worker) => {
          const usage = await usageOf(worker)
          if (usage) this.inc(placeOf(worker), (usage.ru_utime + usage.ru_stime) / 1_000)
        }),
      )
    },
  })
  new Gauge({
    ...named('worker_memory_bytes', 'Resident memory of media workers'),
    labelNames,
    async collect() {
      this.reset()
      await Promise.all(
        supervisor.workers().map(async (worker) => {
          const resident = await residentBytes(worker)
          if (resident !== undefined) this.set(placeOf(worker), resident)
        }),
      )
    },
  })
}

/** As Linux tells it; elsewhere the most that it ever was, which the worker knows itself. */
async function residentBytes(worker: Worker): Promise<number | undefined> {
  try {
    const [, pages] = (await readFile(`/proc/${worker.pid}/statm`, 'utf8')).split(' ')
    return Number(pages) * PAGE_BYTES
  } catch {
    const usage = await usageOf(worker)
    return usage && usage.ru_maxrss * 1_024
  }
}

const usageOf = (worker: Worker) => within(WORKER_PATIENCE_MS, worker.getResourceUsage()).catch(() => undefined)
