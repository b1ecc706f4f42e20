import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair } from 'jose'
import Provider from 'oidc-provider'

export type Person = { email?: string; email_verified?: boolean; preferred_username?: string }

export const CLIENT_ID = 'conntext'
export const CLIENT_SECRET = 'a secret of 32 characters, and more'

/**
 * A real OpenID Connect provider (npm's `oidc-provider`) on loopback. Its login page asks for the name of one of
 * `people`, and for no password.
 */
export async function startOidcProvider(redirectUris: string[], client: { secret?: string } = {}) {
  const people = new Map<string, Person>()
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const provider = makeProvider(issuer, people, redirectUris, client.secret ?? CLIENT_SECRET)
  const asked: string[] = []
  const handle = provider.callback()
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    asked.push(new URL(request.url!, issuer).pathname)
    const respond = request.url!.startsWith('/interaction/')
      ? interact(provider, request, response)
      : handle(request, response)
    void respond.catch(() => response.writeHead(500).end())
  })
  return {
    issuer,
    people,
    /** The paths that have been asked for, in order. */
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export type OidcPeer = Awaited<ReturnType<typeof startOidcProvider>>

function makeProvider(issuer: string, people: Map<string, Person>, redirectUris: string[], secret: string): Provider {
  const hour = () => 3600
  return new Provider(issuer, {
    clients: [
      {
        client_id: CLIENT_ID,
        client_secret: secret,
        redirect_uris: redirectUris,
      },
    ],
    jwks: { keys: [signingKey] },
    cookies: { keys: ['of this test'] },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['preferred_username'] },
    findAccount: async (_, accountId) =>
      people.has(accountId)
        ? { accountId, claims: async () => ({ sub: accountId, ...people.get(accountId) }) }
        : undefined,
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    ttl: {
      AccessToken: hour,
      AuthorizationCode: () => 60,
      Grant: hour,
      IdToken: hour,
      Interaction: hour,
      Session: hour,
    },
    // Who has logged in has agreed to everything.
    async loadExistingGrant({ oidc }) {
      const before = oidc.session!.grantIdFor(CLIENT_ID)
      const known = before === undefined ? undefined : await oidc.provider.Grant.find(before)
      if (known) return known
      const grant = new oidc.provider.Grant({ clientId: CLIENT_ID, accountId: oidc.session!.accountId! })
      grant.addOIDCScope('openid email profile')
      await grant.save()
      return grant
    },
  })
}

const { privateKey } = await generateKeyPair('RS256', { extractable: true })
const signingKey = { ...(await exportJWK(privateKey)), kid: 'test', alg: 'RS256', use: 'sig' }

async function interact(provider: Provider, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method === 'GET') {
    response.setHeader('content-type', 'text/html')
    response.end(`<form method="post" action="${request.url}"><input name="person"></form>`)
    return
  }
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const accountId = new URLSearchParams(Buffer.concat(chunks).toString()).get('person')!
  const result = accountId === '' ? { error: 'access_denied' } : { login: { accountId } }
  await provider.interactionFinished(request, response, result)
}
