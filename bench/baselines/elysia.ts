// Bare Elysia: one route that answers the JSON it was given, checked against a schema as ours is.
import { PermissionCatalogue } from '@conntext/contracts'
import { Elysia } from 'elysia'
import { endWithParent } from './parent.ts'

const answer = JSON.parse(process.argv[2] ?? '{}')
const app = new Elysia()
  .get('/v1/permissions', () => answer, { response: { 200: PermissionCatalogue } })
  .listen({ port: 0, hostname: '127.0.0.1' })
console.log(app.server!.port)
endWithParent()
