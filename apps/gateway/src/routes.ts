import { type AccessOptions, access, baseApp, refusals, requestErrors } from '@conntext/http'
import type { Logger } from '@conntext/kernel'
import { type Static, Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import { createDocs, serveStatic, staticText } from './docs/page.ts'
import { upgradeRequired } from './errors.ts'
import type { Metrics } from './metrics.ts'
import { createPages } from './pages/pages.ts'
import type { Presences } from './presence/presences.ts'
import { presenceRoutes } from './presence/routes.ts'
import type { Readiness } from './readiness.ts'

const Live = Type.Object({ alive: Type.Literal(true), version: Type.String() }, { title: 'Liveness' })
const State = Type.Union([Type.Literal('up'), Type.Literal('degraded'), Type.Literal('down')])
const Ready = Type.Object({ ready: Type.Boolean(), parts: Type.Record(Type.String(), State) }, { title: 'Readiness' })

const text = (type: string, description: string) => ({
  200: { description, content: { [type]: { schema: { type: 'string' as const } } } },
  304: { description: 'The client has it already' },
})

// For people, and so no part of the API. What is on its way with a mail may hang parameters of its own on a link.
const page = { public: true, query: Type.Object({}, { additionalProperties: true }), detail: { hide: true } } as const

export type RoutesDeps = AccessOptions & {
  log: Logger
  metrics: Metrics
  openapi: object
  asyncapi: string
  version: string
  presences: Pick<Presences, 'list'>
  ready(): Promise<Readiness>
}

/** The few addresses that the gateway answers by itself. */
export function gatewayRoutes({ log, metrics, openapi, asyncapi, version, presences, ready, ...options }: RoutesDeps) {
  const docs = createDocs()
  const pages = createPages()
  const document = staticText('application/json; charset=utf-8', JSON.stringify(openapi))
  const socketDocument = staticText('application/yaml; charset=utf-8', asyncapi)
  const tags = ['Gateway']

  const routes = new Elysia({ normalize: false })
    .use(access(options))
    .get('/livez', (): Static<typeof Live> => ({ alive: true, version }), {
      public: true,
      response: { 200: Live },
      detail: { operationId: 'live', summary: 'Whether the process runs', tags },
    })
    .get(
      '/readyz',
      async ({ status }) => {
        const found = await ready()
        return status(found.ready ? 200 : 503, found)
      },
      {
        public: true,
        response: { 200: Ready, 503: Ready },
        detail: { operationId: 'ready', summary: 'Whether requests can be served', tags },
      },
    )
    .get(
      '/metrics',
      async () =>
        new Response(await metrics.registry.metrics(), { headers: { 'content-type': metrics.registry.contentType } }),
      {
        can: 'system.view',
        detail: {
          operationId: 'metrics',
          summary: 'Figures in the Prometheus text format',
          tags,
          responses: { 200: text('text/plain', 'The figures')[200] },
        },
      },
    )
    .get(
      '/v1/gateway',
      () => {
        throw upgradeRequired()
      },
      {
        public: true,
        detail: {
          operationId: 'gateway',
          summary: 'The WebSocket; a plain request is told to upgrade',
          tags,
          responses: { 101: { description: 'The connection is a WebSocket now' } },
          ...refusals({ 403: 'This origin may not connect', 426: 'This address speaks WebSocket' }),
        },
      },
    )
    .get('/openapi.json', ({ request }) => serveStatic(document, request), {
      public: true,
      detail: {
        operationId: 'openapi',
        summary: 'This API as an OpenAPI document',
        tags,
        responses: {
          200: { description: 'The document', content: { 'application/json': { schema: { type: 'object' } } } },
          304: { description: 'The client has it already' },
        },
      },
    })
    .get('/asyncapi.yaml', ({ request }) => serveStatic(socketDocument, request), {
      public: true,
      detail: {
        operationId: 'asyncapi',
        summary: 'The WebSocket at /v1/gateway as an AsyncAPI document',
        tags,
        responses: text('application/yaml', 'The document'),
      },
    })
    .get('/docs', ({ request }) => docs('', request), {
      public: true,
      detail: {
        operationId: 'docs',
        summary: 'This API to read and try',
        tags,
        responses: text('text/html', 'The page'),
      },
    })
    .get(
      '/docs/:file',
      async ({ params, request }) => {
        const response = await docs(params.file, request)
        if (!response) throw requestErrors.noSuchRoute()
        return response
      },
      { public: true, detail: { hide: true } },
    )
    .get('/verify-email', () => pages.verifyEmail(), page)
    .get('/reset-password', () => pages.resetPassword(), page)

  return baseApp({ service: 'gateway', log }).use(routes).use(presenceRoutes(options, presences))
}
