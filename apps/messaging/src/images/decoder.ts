import { fileURLToPath } from 'node:url'
import type { Logger } from '@conntext/kernel'
import { type DecodeAnswer, LIMITS } from './decoding.ts'

const PROGRAM = fileURLToPath(new URL('./decoder-process.ts', import.meta.url))
const IDLE_MS = 30_000
const START_MS = 20_000
// On a machine that is busy a start may take longer; so often in a row it is no decoder.
const LATE_STARTS = 3
// How long nobody tries again to find out whether there is a decoder by now.
const WITHOUT_MS = 300_000

/** The picture can't be decoded, or not within bounds. */
export class UndecodablePicture extends Error {
  override name = 'UndecodablePicture'
}

class TookTooLong extends UndecodablePicture {}

/** There is nothing on this machine that decodes pictures. */
export class NoDecoder extends Error {
  override name = 'NoDecoder'
}

/** The process that decodes was ended from outside, or broke: of the picture nothing is known by that. */
export class DecoderEnded extends Error {
  override name = 'DecoderEnded'
}

/** The process that decodes was not there in time: of the picture, and of the next start, nothing is known by that. */
export class DecoderLate extends Error {
  override name = 'DecoderLate'
}

type Child = Bun.Subprocess<'ignore', 'ignore', 'pipe'>
type Waiting = { child: Child; id: number; settle(answer: DecodeAnswer): void; fail(error: Error): void }

/**
 * Makes thumbnails in a process of its own, one after the other. It runs while there is something to do, and is ended
 * when a picture takes too long.
 */
export class Decoder {
  #child: Child | undefined
  #waiting: Waiting | undefined
  #idle: Timer | undefined
  #turn: Promise<unknown> = Promise.resolve()
  #lastId = 0
  #withoutUntil = 0
  #lateStarts = 0

  constructor(
    private readonly log: Logger,
    private readonly options: { program?: string; startMs?: number } = {},
  ) {}

  /** Whether there is none, as far as has been found out. */
  get missing(): boolean {
    return performance.now() < this.#withoutUntil
  }

  /**
   * A WebP of a picture file's first frame, upright.
   * @throws UndecodablePicture, NoDecoder, DecoderEnded, DecoderLate
   */
  thumbnail(path: string): Promise<Uint8Array> {
    const made = this.#turn.then(() => this.#thumbnail(path))
    this.#turn = made.catch(() => {})
    return made
  }

  async stop(): Promise<void> {
    clearTimeout(this.#idle)
    await this.#end()
  }

  async #thumbnail(path: string): Promise<Uint8Array> {
    clearTimeout(this.#idle)
    if (this.missing) throw new NoDecoder('pictures can not be decoded on this machine')
    const child = this.#child ?? (await this.#start())
    try {
      this.#lastId += 1
      const answered = this.#await(child, this.#lastId, (LIMITS.seconds + 5) * 1000)
      child.send({ id: this.#lastId, path })
      const answer = await answered
      if ('thumbnail' in answer) return answer.thumbnail
      throw new UndecodablePicture('failure' in answer ? answer.failure : 'no thumbnail was made')
    } finally {
      this.#idle = setTimeout(() => void this.#end(), IDLE_MS)
      this.#idle.unref()
    }
  }

  /** Whoever comes next gets a new process, also while this one is still ending. */
  async #end(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    child?.kill()
    await child?.exited
  }

  async #start(): Promise<Child> {
    let said = ''
    const { program = PROGRAM, startMs = START_MS } = this.options
    const child = Bun.spawn([process.execPath, program], {
      stdio: ['ignore', 'ignore', 'pipe'],
      // Nothing of the server's own: no settings, no secrets.
      env: { PATH: process.env.PATH ?? '' },
      serialization: 'advanced',
      ipc: (answer: DecodeAnswer) => {
        if (this.#waiting?.child === child && this.#waiting.id === answer.id) this.#waiting.settle(answer)
      },
      onExit: (_, exitCode, signalCode) => {
        if (this.#child === child) this.#child = undefined
        if (this.#waiting?.child !== child) return
        this.#waiting.fail(
          exitCode === LIMITS.exitCode
            ? new UndecodablePicture('it took more memory than it may')
            : new DecoderEnded(`the decoder ended with ${exitCode ?? signalCode}`),
        )
      },
    })
    void collect(child.stderr, (text) => {
      said = (said + text).slice(-2000)
    })
    this.#child = child
    try {
      await this.#await(child, 0, startMs)
      this.#lateStarts = 0
    } catch (cause) {
      if (cause instanceof TookTooLong && ++this.#lateStarts < LATE_STARTS) {
        this.log.warn({ said }, 'the decoder of pictures did not start in time; it is tried again')
        throw new DecoderLate('the decoder did not start in time', { cause })
      }
      this.#withoutUntil = performance.now() + WITHOUT_MS
      this.log.warn({ said }, 'pictures can not be decoded on this machine')
      throw new NoDecoder('pictures can not be decoded on this machine', { cause })
    }
    return child
  }

  /** The answer to a request. Where it takes too long the process is ended. */
  #await(child: Child, id: number, ms: number): Promise<DecodeAnswer> {
    const { promise, resolve, reject } = Promise.withResolvers<DecodeAnswer>()
    const timer = setTimeout(() => {
      reject(new TookTooLong('it took longer than it may'))
      // Whoever comes next must not be given this one while it is still ending: that would count against their picture.
      if (this.#child === child) this.#child = undefined
      child.kill('SIGKILL')
    }, ms)
    this.#waiting = { child, id, settle: resolve, fail: reject }
    return promise.finally(() => {
      clearTimeout(timer)
      this.#waiting = undefined
    })
  }
}

async function collect(stream: ReadableStream<Uint8Array>, take: (text: string) => void): Promise<void> {
  const decoder = new TextDecoder()
  for await (const chunk of stream) take(decoder.decode(chunk, { stream: true }))
}
