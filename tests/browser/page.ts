// What runs in a page: each function is sent there as it stands, and uses nothing from around it.

/** An answer, with as much of its body as is looked at. */
export type Called = {
  status: number
  // biome-ignore lint/suspicious/noExplicitAny: bodies of many routes, each looked at by what the test expects
  body: any
}

/** Logs in with a password, and adds a passkey that the browser makes. */
export async function addPasskey(input: { at: string; username: string; password: string }): Promise<Called> {
  const call = async (route: string, body: object, token?: string): Promise<Called> => {
    const headers = { 'content-type': 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) }
    const answer = await fetch(`${input.at}/v1/auth/${route}`, { method: 'POST', headers, body: JSON.stringify(body) })
    return { status: answer.status, body: await answer.json() }
  }
  const { password } = input
  const { accessToken } = (await call('login', { login: input.username, password })).body
  const { ceremonyToken, options } = (await call('passkeys/registration/options', { password }, accessToken)).body
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options)
  const made = (await navigator.credentials.create({ publicKey })) as PublicKeyCredential
  return call('passkeys', { ceremonyToken, name: 'browser', response: made.toJSON() }, accessToken)
}

export async function login(input: { at: string; username: string; password: string }): Promise<Called> {
  const answer = await fetch(`${input.at}/v1/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ login: input.username, password: input.password }),
  })
  return { status: answer.status, body: await answer.json() }
}

/** Logs in with whichever passkey the browser finds: alone, or as the second step of a login. */
export async function withPasskey(input: { at: string; mfaToken?: string }): Promise<Called> {
  const call = async (route: string, body: object): Promise<Called> => {
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(`${input.at}/v1/auth/${route}`, { method: 'POST', headers, body: JSON.stringify(body) })
    return { status: answer.status, body: await answer.json() }
  }
  const asked = input.mfaToken === undefined ? {} : { mfaToken: input.mfaToken }
  const { ceremonyToken, options } = (await call('passkeys/login/options', asked)).body
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options)
  const said = (await navigator.credentials.get({ publicKey })) as PublicKeyCredential
  return call('passkeys/login', { ceremonyToken, response: said.toJSON() })
}
