/** As much of an OpenID Connect provider as the beginning of a login asks for. */
export const startProvider = () =>
  Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch(_, { url }) {
      const issuer = url.origin
      return Response.json({
        issuer,
        authorization_endpoint: `${issuer}/authorize`,
        token_endpoint: `${issuer}/token`,
        jwks_uri: `${issuer}/jwks`,
        response_types_supported: ['code'],
        subject_types_supported: ['public'],
        id_token_signing_alg_values_supported: ['RS256'],
        code_challenge_methods_supported: ['S256'],
      })
    },
  })
