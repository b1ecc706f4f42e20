import net from 'node:net'

export type Answer = { status: number; headers: Headers; text: string }

/** What to ask; everything about it may be nonsense. */
export type Ask = {
  /** Put in place of the operation's `{parameters}`, encoded. */
  path: Record<string, string>
  query: Record<string, string> | string
  token: string | undefined
  headers: Record<string, string>
  /** JSON, unless it is bytes, a text or a stream already. */
  body?: unknown
}

/** So many requests at a time, whoever makes them. */
function turns(atOnce: number) {
  let running = 0
  const waiting: (() => void)[] = []
  return async <T>(work: () => Promise<T>): Promise<T> => {
    if (running >= atOnce) await new Promise<void>((resolve) => waiting.push(resolve))
    else running += 1
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next) next()
      else running -= 1
    }
  }
}
const inTurn = turns(8)
// The server lets few wait for their password to be checked, and tells more than these to come back.
const withPassword = turns(4)

/** Text that goes out as it is, bytes and all: `JSON.stringify` would quote it. */
export class Raw {
  constructor(readonly body: BodyInit) {}
}

export function urlOf(template: string, { path, query }: Pick<Ask, 'path' | 'query'>): string {
  const filled = template.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(path[name] ?? 'missing'))
  const search = typeof query === 'string' ? query : new URLSearchParams(query).toString()
  return search === '' ? filled : `${filled}?${search}`
}

const someAddress = (): string => `10.${[0, 0, 0].map(() => Math.floor(Math.random() * 256)).join('.')}`

export function send(base: string, method: string, template: string, ask: Ask): Promise<Answer> {
  const { token, headers, body } = ask
  const json = body !== undefined && !(body instanceof Raw)
  const proves = json && typeof body === 'object' && body !== null && /password/i.test(Object.keys(body).join())
  return (proves ? withPassword : inTurn)(async () => {
    const response = await fetch(base + urlOf(template, ask), {
      method,
      redirect: 'manual',
      headers: {
        'x-forwarded-for': someAddress(),
        ...(json ? { 'content-type': 'application/json' } : {}),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: body instanceof Raw ? body.body : JSON.stringify(body) }),
    })
    return { status: response.status, headers: response.headers, text: await textOf(response) }
  })
}

/** Of what goes on without end, the beginning. */
async function textOf(response: Response): Promise<string> {
  if (!response.headers.get('content-type')?.startsWith('text/event-stream') || !response.body) return response.text()
  const reader = response.body.getReader()
  const { value } = await reader.read()
  await reader.cancel()
  return new TextDecoder().decode(value)
}

const RAW_MS = 5_000

/**
 * Sends bytes as they are and reads until the server closes, or says all that it says. Undefined when it closes
 * without a word.
 */
export function sendRaw(base: string, bytes: string | Uint8Array): Promise<Answer | undefined> {
  const { hostname, port } = new URL(base)
  return inTurn(
    () =>
      new Promise((resolve) => {
        const socket = net.connect(Number(port), hostname)
        const chunks: Buffer[] = []
        const finish = () => {
          clearTimeout(timer)
          socket.destroy()
          resolve(parse(Buffer.concat(chunks).toString('latin1')))
        }
        const timer = setTimeout(finish, RAW_MS)
        socket.on('data', (chunk: Buffer) => {
          chunks.push(chunk)
          if (isWhole(Buffer.concat(chunks).toString('latin1'))) finish()
        })
        socket.on('close', finish)
        socket.on('error', () => {})
        socket.write(bytes)
      }),
  )
}

function isWhole(text: string): boolean {
  const end = text.indexOf('\r\n\r\n')
  const length = /\r\ncontent-length: *(\d+)/i.exec(text.slice(0, end + 2))?.[1]
  return end !== -1 && length !== undefined && text.length >= end + 4 + Number(length)
}

function parse(text: string): Answer | undefined {
  const end = text.indexOf('\r\n\r\n')
  if (end === -1) return undefined
  const [first = '', ...lines] = text.slice(0, end).split('\r\n')
  const headers = new Headers()
  for (const line of lines) headers.append(line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim())
  return { status: Number(first.split(' ')[1]), headers, text: Buffer.from(text.slice(end + 4), 'latin1').toString() }
}
