type Handle = (request: Request) => Promise<Response>

/**
 * As much of a browser as a login takes: it keeps cookies by host, follows redirects and submits forms. What is
 * addressed to `server` goes to `handle`, everything else over the network.
 */
export function createBrowser(server: string, handle: Handle) {
  const jars = new Map<string, Map<string, string>>()

  const keep = (origin: string, response: Response) => {
    const jar = jars.get(origin) ?? new Map<string, string>()
    jars.set(origin, jar)
    for (const cookie of response.headers.getSetCookie()) {
      const [pair = ''] = cookie.split(';')
      const at = pair.indexOf('=')
      if (pair.length > at + 1) jar.set(pair.slice(0, at), pair.slice(at + 1))
      else jar.delete(pair.slice(0, at))
    }
  }

  /** One request, with the cookies of its host, and no redirect followed. */
  const ask = async (url: string, init: RequestInit = {}): Promise<Response> => {
    const { origin } = new URL(url)
    const headers = new Headers(init.headers)
    const cookie = [...(jars.get(origin) ?? [])].map(([name, value]) => `${name}=${value}`).join('; ')
    if (cookie !== '') headers.set('cookie', cookie)
    const request = new Request(url, { ...init, headers, redirect: 'manual' })
    const response = origin === server ? await handle(request) : await fetch(request)
    keep(origin, response)
    return response
  }

  return {
    ask,
    cookies: (origin: string) => jars.get(origin) ?? new Map<string, string>(),

    /** Where the redirects lead until `until` says that it is there; logs in as `person` where there is a form. */
    async follow(start: string, person: string, until: (url: string) => boolean): Promise<string> {
      let url = start
      for (let step = 0; step < 20; step += 1) {
        if (until(url)) return url
        let response = await ask(url)
        const action = /action="([^"]+)"/.exec(response.status === 200 ? await response.text() : '')?.[1]
        if (action !== undefined) {
          response = await ask(new URL(action, url).href, {
            method: 'POST',
            headers: { 'content-type': 'application/x-www-form-urlencoded' },
            body: new URLSearchParams({ person }).toString(),
          })
        }
        const location = response.headers.get('location')
        if (location === null) throw new Error(`${url} answered ${response.status} ${await response.text()}`)
        url = new URL(location, url).href
      }
      throw new Error('the redirects have no end')
    },
  }
}

export type Browser = ReturnType<typeof createBrowser>
