import { type CryptoKey, exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose'
import { CLIENT_ID } from './oidc-provider.ts'

const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true })
const stranger = await generateKeyPair('RS256')

type Claims = Record<string, unknown>
type Forgery = {
  /** Claims to put in place of the right ones; an undefined one is left out. */
  claims: Claims
  userInfo: Claims
  signer: 'own' | 'stranger' | 'nobody' | 'clientSecret'
  metadata: Claims
  /** How long any answer takes. */
  delayMs: number
  /** An answer in place of the right one, by path. */
  answers: Record<string, () => Response>
}

/** A provider made by hand that vouches for whatever it is told to, well or badly. */
export function startFalseProvider(clientSecret: string) {
  const forgery: Forgery = { claims: {}, userInfo: {}, signer: 'own', metadata: {}, delayMs: 0, answers: {} }
  const asked: { path: string; body: URLSearchParams; authorization: string | null }[] = []
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      const { pathname } = new URL(request.url)
      const body = new URLSearchParams(await request.text())
      asked.push({ path: pathname, body, authorization: request.headers.get('authorization') })
      if (forgery.delayMs > 0) await Bun.sleep(forgery.delayMs)
      return forgery.answers[pathname]?.() ?? answer(pathname)
    },
  })
  const issuer = `http://127.0.0.1:${server.port}`

  const idToken = (): Promise<string> | string => {
    const now = Math.floor(Date.now() / 1000)
    const claims = { iss: issuer, aud: CLIENT_ID, sub: 'somebody', iat: now, exp: now + 300, ...forgery.claims }
    if (forgery.signer === 'nobody') return new UnsecuredJWT(claims).encode()
    const key: CryptoKey | Uint8Array = {
      own: privateKey,
      stranger: stranger.privateKey,
      clientSecret: new TextEncoder().encode(clientSecret),
    }[forgery.signer]
    const alg = forgery.signer === 'clientSecret' ? 'HS256' : 'RS256'
    return new SignJWT(claims).setProtectedHeader({ alg, kid: 'false' }).sign(key)
  }

  const answer = async (path: string): Promise<Response> => {
    if (path === '/.well-known/openid-configuration') {
      return Response.json({
        issuer,
        authorization_endpoint: `${issuer}/authorize`,
        token_endpoint: `${issuer}/token`,
        jwks_uri: `${issuer}/jwks`,
        userinfo_endpoint: `${issuer}/userinfo`,
        response_types_supported: ['code'],
        subject_types_supported: ['public'],
        id_token_signing_alg_values_supported: ['RS256'],
        ...forgery.metadata,
      })
    }
    if (path === '/jwks') {
      return Response.json({ keys: [{ ...(await exportJWK(publicKey)), kid: 'false', alg: 'RS256', use: 'sig' }] })
    }
    if (path === '/token') {
      return Response.json({ access_token: 'access', token_type: 'Bearer', id_token: await idToken() })
    }
    if (path === '/userinfo') return Response.json({ sub: forgery.claims.sub ?? 'somebody', ...forgery.userInfo })
    return new Response(null, { status: 404 })
  }

  return {
    issuer,
    forgery,
    /** What it has been asked, in order. */
    asked,
    async [Symbol.asyncDispose]() {
      await server.stop(true)
    },
  }
}

export type FalseProvider = ReturnType<typeof startFalseProvider>
