import { exportJWK, generateKeyPair, SignJWT } from 'jose'

export const CLIENT_ID = 'conntext'

/** What a provider says of somebody. */
export type Claims = { sub: string; email?: string; email_verified?: boolean }

const { publicKey, privateKey } = await generateKeyPair('RS256')

/**
 * OpenID Connect providers on loopback that keep nothing: the code that a browser brings says whom it stands for, so any
 * number of people can be on their way at once. Each name is a provider of its own.
 */
export function startProviders() {
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      const { origin, pathname } = new URL(request.url)
      const [, name = '', ...rest] = pathname.split('/')
      const issuer = `${origin}/${name}`
      const what = rest.at(-1)
      if (what === 'openid-configuration') return Response.json(metadata(issuer))
      if (what === 'jwks') return Response.json(await keys())
      if (what === 'token') return Response.json(await tokens(issuer, new URLSearchParams(await request.text())))
      return Response.json(read(request.headers.get('authorization')?.slice('Bearer '.length) ?? ''))
    },
  })
  return {
    issuer: (name: string) => `http://127.0.0.1:${server.port}/${name}`,
    /** The code that somebody comes back with. */
    code: (said: Claims & { nonce: string }) => Buffer.from(JSON.stringify(said)).toString('base64url'),
    [Symbol.asyncDispose]: () => server.stop(true),
  }
}
export type Providers = ReturnType<typeof startProviders>

const read = (code: string): Claims & { nonce?: string } => JSON.parse(Buffer.from(code, 'base64url').toString())

const metadata = (issuer: string) => ({
  issuer,
  authorization_endpoint: `${issuer}/authorize`,
  token_endpoint: `${issuer}/token`,
  jwks_uri: `${issuer}/jwks`,
  userinfo_endpoint: `${issuer}/userinfo`,
  response_types_supported: ['code'],
  subject_types_supported: ['public'],
  id_token_signing_alg_values_supported: ['RS256'],
})

const keys = async () => ({ keys: [{ ...(await exportJWK(publicKey)), kid: 'test', alg: 'RS256', use: 'sig' }] })

async function tokens(issuer: string, asked: URLSearchParams) {
  const code = asked.get('code') ?? ''
  const claims = read(code)
  const token = await new SignJWT(claims)
    .setProtectedHeader({ alg: 'RS256', kid: 'test' })
    .setIssuer(issuer)
    .setAudience(CLIENT_ID)
    .setIssuedAt()
    .setExpirationTime('5m')
    .sign(privateKey)
  return { access_token: code, token_type: 'Bearer', id_token: token }
}
