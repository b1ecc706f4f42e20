import type { Authority, Grant, Permission } from '@conntext/contracts'
import type { AppError } from '@conntext/kernel'
import { Elysia } from 'elysia'
import { type Caller, type Visitor, visitorOf } from './caller.ts'
import { accessErrors, channelNotFound } from './errors.ts'
import type { Guard } from './guard.ts'
import { type Idempotency, IdempotencyHeaders } from './idempotency.ts'

/** Records that somebody was refused; never fails and never waits. */
export type Refused = (caller: Caller, permission: Requirement | 'owner', route: string) => void

export type AccessOptions = {
  guard: Guard
  refused: Refused
  /** For routes with `idempotent: true`; without it there can be none. */
  idempotency?: Idempotency
}

/**
 * A permission of the catalogue; or `member`: every member, also with any API token, for what all may see; or `account`:
 * whoever is logged in, be it that they have left or lack the second factor that the server asks for. What an account
 * is, how it logs in and what it gives away is nothing for an API token. Or `self`: all of these, with any API token,
 * for who one is.
 */
export type Requirement = Permission | 'member' | 'account' | 'self'

// What was found out before the body was validated, for the handler.
const callers = new WeakMap<Request, Caller>()

const bearer = (headers: Headers): string | undefined =>
  /^Bearer +(\S+)$/i.exec(headers.get('authorization') ?? '')?.[1]

/**
 * What stands on every route: `can` with a permission, or `public`. A route under `:channelId` asks for the permission
 * in that channel: without `channel.view` in it the answer is the same 404 as for a channel that isn't there.
 */
export const access = (options: AccessOptions) =>
  new Elysia().macro({
    can: (requirement: Requirement) => ({
      detail: { security: [{ bearer: [] }], 'x-permission': requirement } as object,
      // Before validation: who may not come in doesn't learn what a valid body looks like.
      async transform({ request, params, route }: { request: Request; params: unknown; route: string }) {
        const channelId = (params as Record<string, string> | undefined)?.channelId
        callers.set(request, await admit(options, { request, requirement, channelId, route }))
      },
      resolve: ({ request }: { request: Request }) => ({ caller: callers.get(request)! }),
    }),
    public: (_: true) => ({
      detail: { security: [], 'x-permission': 'public' } as object,
      resolve: ({ request }: { request: Request }): { visitor: Visitor } => ({ visitor: visitorOf(request.headers) }),
    }),
    /** Takes `Idempotency-Key`; stands beside a `can`. */
    idempotent: (_: true) => {
      const { idempotency } = options
      if (!idempotency) throw new Error('a route is idempotent, but access() was given no idempotency')
      return {
        headers: IdempotencyHeaders,
        async beforeHandle({ request, body }: { request: Request; body: unknown }) {
          const caller = callers.get(request)
          if (!caller) throw new Error('an idempotent route needs to know its caller: it takes a `can`')
          return idempotency.begin({ request, bearer: bearerOf(caller), body })
        },
      }
    },
  })

// What an API token may not do, it must not get as the answer that its owner got.
const bearerOf = ({ userId, sessionId, scopes }: Caller): string => (scopes === null ? userId : sessionId)

type Admission = { request: Request; requirement: Requirement; channelId: string | undefined; route: string }

async function admit({ guard, refused }: AccessOptions, admission: Admission): Promise<Caller> {
  const { request, requirement, channelId, route } = admission
  const token = bearer(request.headers)
  const identity = token === undefined ? undefined : await guard.identify(token)
  if (!identity) throw accessErrors.unauthenticated()
  const { userId, sessionId, kind, scopes } = identity
  const caller: Caller = { ...visitorOf(request.headers), userId, sessionId, kind, scopes }
  if (requirement === 'account') {
    if (scopes !== null) throw accessErrors.notForTokens()
    return caller
  }
  if (requirement === 'self') return caller
  await assertMember(guard, caller)
  if (channelId !== undefined && !(await guard.allows(caller, 'channel.view', channelId))) throw channelNotFound()
  if (requirement === 'member' || (await guard.allows(caller, requirement, channelId))) return caller
  refused(caller, requirement, `${request.method} ${route}`)
  throw accessErrors.forbidden(`This needs the permission ${requirement}.`)
}

async function assertMember(guard: Guard, { userId }: Caller): Promise<void> {
  const [authority, grant] = await Promise.all([guard.authority(), guard.grant(userId)])
  const refusal = memberRefusal(authority, grant)
  if (refusal) throw refusal
}

/** Why somebody who has an account is not let in as a member; undefined for who is. */
export function memberRefusal(authority: Authority, grant: Grant | null): AppError | undefined {
  if (grant?.standing !== 'active') return accessErrors.notAMember()
  return authority.lacksMfa(grant) ? accessErrors.mfaRequired() : undefined
}
