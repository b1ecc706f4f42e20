import { requestErrors } from '@conntext/http'

// tus uploads are read by the service as they come, up to the server's own limit of a file.
const STREAMED = '/v1/uploads'

const tooLarge = (maxBytes: number) => requestErrors.tooLarge(`At most ${maxBytes} bytes.`)

export const isStreamed = (path: string): boolean => path === STREAMED || path.startsWith(`${STREAMED}/`)

/**
 * Holds a JSON route's body to its limit: by Content-Length before anything is read, else by counting while reading.
 * Answers the body where it had to be read, undefined where it can pass as it is.
 * @throws request.tooLarge (413), request.unparsable (400) when the client goes away meanwhile
 */
export async function boundBody(request: Request, maxBytes: number): Promise<Uint8Array | undefined> {
  const length = request.headers.get('content-length')
  if (length !== null) {
    if (Number(length) > maxBytes) throw tooLarge(maxBytes)
    return undefined
  }
  return request.body === null ? undefined : readBounded(arriving(request.body), maxBytes)
}

async function* arriving(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* body
  } catch (cause) {
    throw requestErrors.unparsable({ detail: 'The body did not arrive whole.', cause })
  }
}

async function readBounded(body: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let total = 0
  // Leaving the loop cancels the stream: the rest is not read.
  for await (const chunk of body) {
    total += chunk.byteLength
    if (total > maxBytes) throw tooLarge(maxBytes)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
