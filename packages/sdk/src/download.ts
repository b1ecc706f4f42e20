import type { Api } from './api.ts'
import { isProblem, ProblemError } from './problem.ts'

export type DownloadOptions = {
  /** Where to go on, and the `etag` of the file of which so much is there already. */
  from?: { offset: number; etag: string }
  signal?: AbortSignal
  /** How often in a row it is tried without a byte more; six times unless told. */
  attempts?: number
  /** The pause before the second attempt; each is twice as long as the one before. 250 unless told. */
  pauseMs?: number
}

export type Download = {
  /** Bytes of the whole file. */
  size: number
  /** By this the download can be gone on with later: see `from`. */
  etag: string
  /** Where `body` begins: 0 also where the file is no longer the one that was begun. */
  offset: number
  /** Comes to its end, or fails: connections that break on the way are made anew. */
  body: ReadableStream<Uint8Array>
}

/** The file became another one while it was being downloaded. */
export class FileChanged extends Error {
  override name = 'FileChanged'
}

// Too many requests, and what a server or its proxy says that is just being started.
const PASSING = new Set([429, 502, 503, 504])

type Opened = { offset: number; size: number; etag: string; reader: ReadableStreamDefaultReader<Uint8Array> }

/**
 * Downloads a file of a message (`/v1/media/{id}/content`) or a backup (`/v1/system/backups/{id}/content`). One whose
 * connection breaks goes on where it was, as long as the file is the same.
 * @throws ProblemError for a refusal (on the way not for one that passes: 429, 502, 503, 504); whatever `fetch` threw when
 * there was no answer
 */
export async function download(api: Api, path: string, options: DownloadOptions = {}): Promise<Download> {
  const { from } = options
  const over = new AbortController()
  const signal = options.signal ? AbortSignal.any([options.signal, over.signal]) : over.signal
  let opened = await open(api, path, { from, signal })
  const { size, etag, offset } = opened
  let at = offset
  const goOn = async (): Promise<Uint8Array | undefined> => {
    const { attempts = 6, pauseMs = 250 } = options
    let atLeastMs = 0
    for (let attempt = 1; ; attempt += 1) {
      try {
        const { done, value } = await opened.reader.read()
        if (!done) return value
        if (at === size) return undefined
        throw new Error('the connection ended before the file did')
      } catch (error) {
        if (signal.aborted || error instanceof ProblemError || attempt >= attempts) throw error
      }
      await pause(Math.max(atLeastMs, pauseMs * 2 ** (attempt - 1)), signal)
      const next = await open(api, path, { from: { offset: at, etag }, signal }).catch((error: unknown) => {
        if (!(error instanceof ProblemError)) return undefined
        if (!PASSING.has(error.status)) throw error
        atLeastMs = (error.problem.retryAfter ?? 0) * 1000
        return undefined
      })
      if (!next) continue
      opened = next
      if (opened.etag !== etag || opened.offset !== at) {
        await opened.reader.cancel()
        throw new FileChanged(`${path} is no longer the file that was begun`)
      }
    }
  }
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const chunk = await goOn()
        if (!chunk) return controller.close()
        at += chunk.length
        controller.enqueue(chunk)
      },
      async cancel(reason) {
        // It may just be pausing, or asking anew.
        over.abort(reason)
        await opened.reader.cancel(reason).catch(() => {})
      },
    },
    { highWaterMark: 0 },
  )
  return { size, etag, offset, body }
}

type Where = { from: DownloadOptions['from']; signal: AbortSignal }

// The answer to a range tells how long the whole is, which other answers may leave open.
async function open(api: Api, path: string, { from, signal }: Where): Promise<Opened> {
  const headers = new Headers({ authorization: `Bearer ${await api.accessToken()}` })
  headers.set('range', `bytes=${from?.offset ?? 0}-`)
  if (from) headers.set('if-range', from.etag)
  const answer = await api.fetch(`${api.baseUrl}${path}`, { headers, signal })
  const etag = answer.headers.get('etag') ?? from?.etag ?? ''
  const [, first, whole] = /^bytes (?:(\d+)-\d+|\*)\/(\d+)$/.exec(answer.headers.get('content-range') ?? '') ?? []
  if (answer.status === 206 && answer.body) {
    return { offset: Number(first), size: Number(whole), etag, reader: answer.body.getReader() }
  }
  const isOver = answer.status === 416 && Number(whole) === (from?.offset ?? 0)
  if (!isOver && !(from && (answer.ok || answer.status === 416))) throw await refusalOf(answer)
  await answer.body?.cancel()
  if (isOver) return { offset: Number(whole), size: Number(whole), etag, reader: nothing() }
  // It is another file.
  return open(api, path, { from: undefined, signal })
}

async function refusalOf(answer: Response): Promise<Error> {
  const told: unknown = answer.ok ? await answer.body?.cancel() : await answer.json().catch(() => undefined)
  return isProblem(told) ? new ProblemError(told) : new Error(`${answer.status} was answered, and no part of a file`)
}

const nothing = () => new ReadableStream<Uint8Array>({ start: (controller) => controller.close() }).getReader()

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop)
      resolve()
    }, ms)
    signal.addEventListener('abort', stop, { once: true })
  })
