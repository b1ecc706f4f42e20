import type { Claimed, IdempotencyKey, IdempotencyStore, StoredAnswer } from '@conntext/idempotency'
import { defineErrors, deriveKey, keyedHash, type Logger, seal, unseal } from '@conntext/kernel'
import { Type } from '@sinclair/typebox'

export const IDEMPOTENCY_KEY_HEADER = 'idempotency-key'
/** Marks an answer as the one that an earlier request got. */
export const REPLAYED_HEADER = 'idempotency-replayed'

export const idempotencyErrors = defineErrors('idempotency', {
  mismatch: { status: 422, title: 'This Idempotency-Key was used for another request' },
  underWay: { status: 409, title: 'The first request with this Idempotency-Key is still under way' },
})

export type IdempotencyOptions = {
  store: IdempotencyStore
  /** The service's secret for this: keys are kept as hashes under it, answers sealed. The same on every instance. */
  key: () => Uint8Array
  log: Logger
}

export type Idempotency = { begin(attempt: Attempt): Promise<Response | undefined> }

/** What a route with `idempotent: true` takes beside its own headers. */
export const IdempotencyHeaders = Type.Object({
  [IDEMPOTENCY_KEY_HEADER]: Type.Optional(
    Type.String({
      pattern: '^[\\x21-\\x7e]{1,255}$',
      description: 'A repeat with the same key and body, within a day, answers what the first did',
    }),
  ),
})

/** A valid request, and who makes it: an account, or one of its API tokens. */
type Attempt = { request: Request; bearer: string; body: unknown }

// Requests that hold a claim, from `begin` until the answer is known; each with what to do then.
const pending = new WeakMap<Request, (answer: Response) => Promise<void>>()

/**
 * `Idempotency-Key` for creating POSTs: a repeat answers what the first request did. It takes part in a request twice:
 * `begin`, once the caller is admitted and the request valid, answers a repeat or lets the request go on;
 * `settleIdempotency`, around the whole app (`baseApp` does it), keeps what comes of it.
 *
 *     const keys = idempotency({
 *       store: idempotencyStore({ db, table: systemIdempotencyKeys, log }),
 *       key: () => keyring.deriveKey('idempotency'),
 *       log,
 *     })
 *     new Elysia({ normalize: false })
 *       .use(access({ guard, refused, idempotency: keys }))
 *       .post('/v1/invites', handler, { can: 'invite.create', idempotent: true, parse: 'json', body: NewInvite })
 *
 * A key belongs to the account, or the API token, that it came with, the method and the path. With another body it is
 * `idempotency.mismatch` (422); while the first is under way, `idempotency.underWay` (409, come back in a second).
 * Permissions are checked on every repeat. Kept are answers below 500 but for 401, 403 and 429; an answer that could not
 * be kept, because the process died between the commit and the answer, lets a repeat run again once the claim has lapsed.
 *
 * Not for routes whose answer is a credential (register, log in, refresh, API tokens): even sealed, that would keep it
 * for a day. Those without a caller can't have it at all.
 */
export function idempotency({ store, key, log }: IdempotencyOptions): Idempotency {
  const hashKey = () => deriveKey(key(), 'idempotency/hash')
  const sealKey = () => deriveKey(key(), 'idempotency/answer')

  const identify = ({ request, bearer, body }: Attempt, given: string): IdempotencyKey => {
    const { pathname, search } = new URL(request.url)
    return {
      id: keyedHash(hashKey(), JSON.stringify([bearer, request.method, pathname, given])),
      request: keyedHash(hashKey(), JSON.stringify([search, body ?? null])),
    }
  }

  const hold = (request: Request, key: IdempotencyKey, claim: string) =>
    pending.set(request, async (answer) => {
      try {
        if (isFinal(answer.status)) await store.keep(key, claim, await sealAnswer(sealKey(), key, answer))
        else await store.release(key, claim)
      } catch (error) {
        // What was asked is done, and its answer stands; only a repeat can't have it.
        log.warn({ err: error }, 'an answer could not be kept for its Idempotency-Key')
      }
    })

  return {
    async begin(attempt) {
      const given = attempt.request.headers.get(IDEMPOTENCY_KEY_HEADER)
      if (given === null) return undefined
      const key = identify(attempt, given)
      const claimed = await store.claim(key)
      if (claimed.state === 'claimed') hold(attempt.request, key, claimed.claim)
      else return replay(sealKey(), key, claimed)
      return undefined
    },
  }
}

/** Keeps the answer of a request that holds a claim, before it is sent: who repeats at once already gets it. */
export async function settleIdempotency(request: Request, response: Response): Promise<Response> {
  const settle = pending.get(request)
  pending.delete(request)
  await settle?.(response)
  return response
}

// A refusal may be lifted and a failure mended: those are tried afresh. Everything else stands.
const isFinal = (status: number): boolean => status < 500 && status !== 401 && status !== 403 && status !== 429

const sealContext = (key: IdempotencyKey) => `idempotency ${Buffer.from(key.id).toString('hex')}`

const KEPT_HEADERS = ['content-type', 'location']

/** An answer may hold what is shown only once, such as an invite's code: it is sealed, for its own key alone. */
async function sealAnswer(sealKey: Uint8Array, key: IdempotencyKey, response: Response): Promise<StoredAnswer> {
  const headers = KEPT_HEADERS.flatMap((name) => {
    const value = response.headers.get(name)
    return value === null ? [] : [[name, value]]
  })
  const plain = JSON.stringify({ headers, body: await response.clone().text() })
  return { status: response.status, answer: seal(sealKey, plain, sealContext(key)) }
}

function replay(sealKey: Uint8Array, key: IdempotencyKey, found: Exclude<Claimed, { state: 'claimed' }>): Response {
  if (found.state === 'mismatch') throw idempotencyErrors.mismatch()
  if (found.state === 'underWay') throw idempotencyErrors.underWay({ retryAfter: 1 })
  const { headers, body } = JSON.parse(unseal(sealKey, found.answer, sealContext(key)).toString()) as {
    headers: [string, string][]
    body: string
  }
  // A 204 takes no body, not even an empty one.
  const response = new Response(body === '' ? null : body, { status: found.status, headers })
  response.headers.set(REPLAYED_HEADER, 'true')
  return response
}
