import { freePort } from '@conntext/embedded'
import { type Deployment, startDeployment } from '@conntext/testing'
import type { Called } from './page.ts'

/** A server that knows its own address, which passkeys belong to and links in mails begin with. */
export async function startPublicServer(): Promise<PublicServer> {
  const port = await freePort()
  const origin = `http://localhost:${port}`
  const server = await startDeployment({ CONNTEXT_PORT: String(port), CONNTEXT_PUBLIC_URL: origin })
  return {
    server,
    origin,
    async call(route, body, token) {
      const headers = { 'content-type': 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) }
      const response = await fetch(`${origin}/v1/${route}`, { method: 'POST', headers, body: JSON.stringify(body) })
      return { status: response.status, body: response.status === 204 ? undefined : await response.json() }
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

export type PublicServer = {
  server: Deployment
  origin: string
  /** Posts to a route of the API. */
  call(route: string, body: object, token?: string): Promise<Called>
  [Symbol.asyncDispose](): Promise<void>
}
