import { type PortOf, type PortTable, Problem } from '@conntext/contracts'
import {
  AppError,
  counter,
  currentContext,
  defineErrors,
  equalSecrets,
  histogram,
  type Logger,
  traced,
  withContext,
} from '@conntext/kernel'
import { Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { Elysia } from 'elysia'
import { baseApp } from './app.ts'
import { REQUEST_ID_HEADER } from './caller.ts'
import { type DirectCalls, directCalls } from './direct-calls.ts'
import { dependencyErrors } from './errors.ts'

/** With what services prove themselves to one another. */
export const CREDENTIAL_HEADER = 'x-conntext-service'

const portErrors = defineErrors('port', { unauthorised: { status: 401, title: 'Services only' } })

/**
 * What a call to a port is, for who has to bring it across a network: its body, so that it can be sent again, and
 * whether it may be done twice.
 */
export type PortCall = { body: string; repeatable: boolean }

/** How a request reaches an app: its `handle` in one process, a network otherwise. */
export type Transport = (request: Request, call: PortCall) => Promise<Response> | Response

const path = (service: string, operation: string) => `/internal/${service}/${operation}`

/**
 * A service's port as an app of its own, never exposed by the gateway: one POST for each operation of the table,
 * checked in both directions, for whoever knows the service credential. Whoever has the port in the same process calls
 * it without a request (`callPort` with `served`).
 */
export function servePort<P extends PortTable>(
  table: P,
  implementation: PortOf<P>,
  options: { credential: string; log: Logger },
) {
  // A request without the header has an empty one.
  if (options.credential === '') throw new Error('a port needs a service credential')
  const app = baseApp({ log: options.log }).onRequest(({ request }) => {
    if (!equalSecrets(request.headers.get(CREDENTIAL_HEADER) ?? '', options.credential)) throw portErrors.unauthorised()
  })
  for (const [name, operation] of Object.entries(table.operations)) {
    const implemented = (implementation as Record<string, (request: unknown) => Promise<unknown>>)[name]!
    const run = operation.quiet
      ? (request: unknown) => withContext({ quiet: true }, () => implemented(request))
      : implemented
    app.use(
      new Elysia({ normalize: false }).post(
        path(table.service, name),
        async ({ body }) => Response.json(await run(body)),
        {
          parse: 'json',
          body: operation.request,
        },
      ),
    )
  }
  return Object.assign(app, { direct: directCalls(table, implementation, options.log) })
}

/** Where a port is: behind a transport, or, as it is served, in this very process. */
export type PortPlace =
  | { transport: Transport; credential: string; base?: string }
  | { served: () => { direct: DirectCalls } }

/**
 * The other end: a port to call like functions. A problem that the service answers is thrown here as the same
 * `AppError`. One that can't be reached, doesn't know us or doesn't know the operation yet is `dependency.away` (503).
 */
export function callPort<P extends PortTable>(table: P, place: PortPlace): PortOf<P> {
  const entries = Object.entries(table.operations).map(([name, operation]) => {
    const answers = TypeCompiler.Compile(operation.response)
    const { repeatable = false } = operation
    const ask = (input: unknown): Promise<Answer> => {
      if ('served' in place) return place.served().direct(name, input)
      const may = typeof repeatable === 'function' ? repeatable(input as never) : repeatable
      return send(table.service, place, name, { body: JSON.stringify(input), repeatable: may })
    }
    const call = async (input: unknown) => {
      const { ok, output } = operation.quiet ? await ask(input) : await measured(table.service, name, () => ask(input))
      if (!ok) throw revive(table.service, output)
      if (!answers.Check(output)) throw new Error(`${table.service}.${name} answered out of contract`)
      return output
    }
    return [name, call] as const
  })
  return Object.fromEntries(entries) as PortOf<P>
}

type Answer = { ok: boolean; output: unknown }

const calls = counter('conntext_port_calls_total', 'Calls from service to service, by how they ended', [
  'service',
  'operation',
  'outcome',
])
const durations = histogram('conntext_port_call_seconds', 'Time that calls from service to service took', [
  'service',
  'operation',
])

/** A call as who makes it sees it: `refused` is an answer too. */
const measured = (service: string, operation: string, ask: () => Promise<Answer>): Promise<Answer> =>
  traced(`${service}.${operation}`, { kind: 'client', attributes: { 'rpc.service': service } }, async () => {
    const began = performance.now()
    let outcome = 'failed'
    try {
      const answer = await ask()
      outcome = answer.ok ? 'done' : 'refused'
      return answer
    } finally {
      calls.add(1, service, operation, outcome)
      durations.observe((performance.now() - began) / 1000, service, operation)
    }
  })

async function send(
  service: string,
  { transport, credential, base = 'http://localhost' }: { transport: Transport; credential: string; base?: string },
  operation: string,
  call: PortCall,
): Promise<Answer> {
  const request = new Request(base + path(service, operation), {
    method: 'POST',
    headers: { 'content-type': 'application/json', [CREDENTIAL_HEADER]: credential, ...inherited() },
    body: call.body,
  })
  try {
    const response = await transport(request, call)
    return { ok: response.ok, output: await response.json() }
  } catch (cause) {
    throw away(service, cause)
  }
}

/** What the other end is to know of the request that this comes from. */
function inherited(): Record<string, string> {
  const { requestId, traceparent } = currentContext() ?? {}
  return { ...(requestId && { [REQUEST_ID_HEADER]: requestId }), ...(traceparent && { traceparent }) }
}

const away = (service: string, cause: unknown): AppError =>
  dependencyErrors.away({ detail: `The ${service} service can't be reached.`, retryAfter: 1, cause })

// What is wrong between services is no fault of whoever asked: it must neither log them out nor be taken for a refusal.
const OURS = new Set(['port.unauthorised', 'request.noSuchRoute'])

// Open: a newer service may say more.
const problems = TypeCompiler.Compile(Type.Object(Problem.properties))

function revive(service: string, problem: unknown): AppError {
  if (!problems.Check(problem)) return away(service, new Error('an answer that is no problem document'))
  if (OURS.has(problem.code)) return away(service, new Error(`${problem.code}: ${problem.title}`))
  return new AppError(problem.code, problem.status, problem.title, {
    ...(problem.detail === undefined ? {} : { detail: problem.detail }),
    ...(problem.errors === undefined ? {} : { errors: problem.errors }),
    ...(problem.retryAfter === undefined ? {} : { retryAfter: problem.retryAfter }),
  })
}
