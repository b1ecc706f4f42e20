import type { CustomFetch } from 'openid-client'
import { isProtected } from './endpoint.ts'
import { oidcErrors } from './errors.ts'

const MAX_BYTES = 1_048_576

/**
 * How providers are asked: nothing unprotected, no redirects, so much and no more. A provider that doesn't answer, or
 * answers that it can't, is away.
 * @throws oidc.providerAway (503)
 */
export function createBoundedFetch(timeoutMs: number): CustomFetch {
  return async (url, { method, headers, body, signal }) => {
    try {
      if (!isProtected(new URL(url))) throw new Error('an endpoint of the provider is not protected')
      const late = AbortSignal.timeout(timeoutMs)
      const response = await fetch(url, {
        method,
        headers,
        body: body ?? null,
        redirect: 'manual',
        signal: signal ? AbortSignal.any([signal, late]) : late,
      })
      if (response.status >= 500) throw new Error(`the provider answered ${response.status}`)
      const read = await readBounded(response)
      return new Response(read.length > 0 ? read : null, { status: response.status, headers: response.headers })
    } catch (cause) {
      throw oidcErrors.providerAway({ cause })
    }
  }
}

async function readBounded(response: Response): Promise<Buffer<ArrayBuffer>> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.length
    if (size > MAX_BYTES) throw new Error(`the provider answered more than ${MAX_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
