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

/** What is to be seen on a page that a mail links to, and what it has called. */
export async function mailPage(_: null) {
  const text = (selector: string) => document.querySelector(selector)?.textContent ?? null
  const fields = [...document.querySelectorAll<HTMLInputElement>('input.secret')]
  return {
    address: location.href,
    title: document.title,
    server: text('#server'),
    outcome: text('#outcome'),
    form: document.querySelector('form')?.checkVisibility() ?? false,
    focus: document.activeElement?.id ?? '',
    styled: getComputedStyle(document.querySelector('main')!).maxWidth !== 'none',
    called: performance.getEntriesByType('resource').map(({ name }) => name),
    fields: fields.map((field) => ({
      type: field.type,
      value: field.value,
      invalid: field.getAttribute('aria-invalid'),
      fault: text(`#${field.id}-fault`),
    })),
  }
}

/** From here on every call is refused, with this status and `Retry-After`. */
export async function refuseCalls(answer: string): Promise<void> {
  const [status, seconds = ''] = answer.split(' ')
  const refuse = async () => new Response('{}', { status: Number(status), headers: { 'retry-after': seconds } })
  Object.assign(window, { fetch: refuse })
}

/** Goes to another part of the same page, as a link does. */
export async function followHash(hash: string): Promise<void> {
  location.hash = hash
}
