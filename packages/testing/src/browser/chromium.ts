import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { answerWithin } from '@conntext/kernel'
import { locateChromium } from '../chromium.ts'
import { eventually } from '../poll.ts'

const START_MS = 30_000
const END_MS = 10_000

/** The browser on this machine, or the one that `npm test` has got, if there is one. */
export const chromiumPath = (): string | undefined => locateChromium()?.path

type Message = { id?: number; result?: unknown; error?: { message: string } }
/** What of a page is looked at from here. */
type Shown = { document: { readyState: string }; location: { origin: string; pathname: string } }
type Send = <T>(method: string, params?: object, sessionId?: string) => Promise<T>

/** Starts it without a window and with a profile of its own; speaks to it by the Chrome DevTools Protocol. */
export async function startChromium(path: string, flags: string[] = []) {
  const { env } = locateChromium() ?? {}
  const profile = await mkdtemp(join(tmpdir(), 'conntext-chromium-'))
  const child = Bun.spawn(
    [
      path,
      '--headless',
      '--remote-debugging-port=0',
      `--user-data-dir=${profile}`,
      ...['--disable-gpu', '--disable-quic', '--disable-sync', '--no-first-run', '--disable-dev-shm-usage'],
      ...['--disable-background-networking', '--disable-component-update'],
      // Its sandbox refuses to work for root, as whom tests run in containers.
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      ...flags,
      'about:blank',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'], ...(env && { env: { HOME: profile, ...env } }) },
  )
  const send = await connect(await answerWithin(START_MS, () => addressOf(child.stderr)))
  return {
    /** A page with an authenticator in it, in the manner of those that are built into a device. */
    async open(url: string) {
      const { targetId } = await send<{ targetId: string }>('Target.createTarget', { url })
      const attached = await send<{ sessionId: string }>('Target.attachToTarget', { targetId, flatten: true })
      const inPage = <T>(method: string, params: object = {}) => send<T>(method, params, attached.sessionId)
      await inPage('WebAuthn.enable')
      // As if its window were the one in front, for what is typed.
      await inPage('Emulation.setFocusEmulationEnabled', { enabled: true })
      const page = pageOf(inPage)
      // Pages may take away what stands after the `#`.
      const there = async (wanted: string) => {
        const { document, location } = globalThis as unknown as Shown
        return document.readyState === 'complete' && location.origin + location.pathname === wanted
      }
      const { origin, pathname } = new URL(url)
      const isThere = () => page.run(there, origin + pathname).catch(untilThereIsAPage)
      await eventually(isThere, START_MS)
      return page
    },
    async [Symbol.asyncDispose]() {
      child.kill()
      await answerWithin(END_MS, () => child.exited)
      await rm(profile, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

// Between two documents there is none to run anything in.
function untilThereIsAPage(error: Error): false {
  if (/execution context/i.test(error.message)) return false
  throw error
}

const KEYS = {
  Tab: { code: 'Tab', windowsVirtualKeyCode: 9 },
  Enter: { code: 'Enter', windowsVirtualKeyCode: 13, text: '\r' },
  ' ': { code: 'Space', windowsVirtualKeyCode: 32, text: ' ' },
}

function pageOf(send: <T>(method: string, params?: object) => Promise<T>) {
  return {
    async addAuthenticator(options: object = {}): Promise<string> {
      const settings = {
        ...{ protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true },
        ...{ isUserVerified: true, automaticPresenceSimulation: true, ...options },
      }
      const { authenticatorId } = await send<{ authenticatorId: string }>('WebAuthn.addVirtualAuthenticator', {
        options: settings,
      })
      return authenticatorId
    },

    /** What is kept in it, as the browser tells. */
    credentials: async (authenticatorId: string) =>
      (await send<{ credentials: object[] }>('WebAuthn.getCredentials', { authenticatorId })).credentials,

    /** Puts a credential of another authenticator into this one. */
    addCredential: (authenticatorId: string, credential: object) =>
      send('WebAuthn.addCredential', { authenticatorId, credential }),

    /** Types where the focus is. */
    type: (text: string) => send('Input.insertText', { text }),

    async press(key: keyof typeof KEYS): Promise<void> {
      for (const type of ['keyDown', 'keyUp']) await send('Input.dispatchKeyEvent', { type, key, ...KEYS[key] })
    },

    /** What is to be seen of it, as PNG in base64. Of pages behind others nothing is drawn. */
    async screenshot(): Promise<string> {
      await send('Page.bringToFront')
      return (await send<{ data: string }>('Page.captureScreenshot', { format: 'png' })).data
    },

    /** Ends it, as who closes a tab: nothing of it says goodbye. */
    close: () => send('Page.close'),

    /** Runs a function in the page: it may use nothing from around it. @throws what it throws, as text */
    async run<A, T>(work: (argument: A) => Promise<T>, argument: A): Promise<T> {
      const { result, exceptionDetails } = await send<Evaluated<T>>('Runtime.evaluate', {
        expression: `(${work})(${JSON.stringify(argument)})`,
        awaitPromise: true,
        returnByValue: true,
        userGesture: true,
      })
      if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text)
      return result.value
    },
  }
}
export type Page = ReturnType<typeof pageOf>
type Evaluated<T> = {
  result: { value: T }
  exceptionDetails?: { text: string; exception?: { description?: string } }
}

async function addressOf(output: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  let address: string | undefined
  const reader = output.getReader()
  while (address === undefined) {
    const { value, done } = await reader.read()
    if (done) throw new Error(`the browser ended:\n${text}`)
    text += decoder.decode(value, { stream: true })
    address = /^DevTools listening on (ws:\S+)/m.exec(text)?.[1]
  }
  // Read on, so that it can go on writing.
  void (async () => {
    while (!(await reader.read()).done);
  })()
  return address
}

async function connect(address: string): Promise<Send> {
  const socket = new WebSocket(address)
  const waiting = new Map<number, PromiseWithResolvers<unknown>>()
  await new Promise<void>((resolve, reject) => {
    socket.onopen = () => resolve()
    socket.onerror = () => reject(new Error('the browser takes no connection'))
  })
  socket.onmessage = ({ data }) => {
    const { id, result, error } = JSON.parse(String(data)) as Message
    const call = id === undefined ? undefined : waiting.get(id)
    if (id !== undefined) waiting.delete(id)
    if (error) call?.reject(new Error(error.message))
    else call?.resolve(result)
  }
  socket.onclose = () => {
    for (const call of waiting.values()) call.reject(new Error('the browser is gone'))
  }
  let last = 0
  return <T>(method: string, params: object = {}, sessionId?: string) => {
    const id = ++last
    const call = Promise.withResolvers<unknown>()
    waiting.set(id, call)
    socket.send(JSON.stringify({ id, method, params, sessionId }))
    return call.promise as Promise<T>
  }
}
