import { expect, test } from 'bun:test'
import { isPermission, permissions } from '@conntext/contracts'
import { startSystem } from './support/system.ts'

test('every route says who may use it, and has its name', async () => {
  await using system = await startSystem()
  const routes = system.service.app.routes.map(({ method, path, hooks }) => {
    const { detail } = hooks as { detail: { 'x-permission'?: string; operationId?: string } }
    return { method, path, permission: detail['x-permission'], operationId: detail.operationId }
  })
  for (const { permission, operationId } of routes) {
    expect(['public', 'member', 'account'].includes(permission ?? '') || isPermission(permission ?? '')).toBe(true)
    expect(operationId).toBeString()
  }
  expect(new Set(routes.map((route) => route.operationId)).size).toBe(routes.length)
  const open = routes.filter((route) => route.permission === 'public').map((route) => route.path)
  expect(open.toSorted()).toEqual(['/v1/audit/keys', '/v1/invites/:code/preview', '/v1/server'])
  // A permission of a channel is asked for in that channel, under the name that `access` looks for.
  for (const { path, permission } of routes.filter((route) => route.path.startsWith('/v1/channels/'))) {
    expect(path).toContain('/:channelId')
    expect(permissions[permission as keyof typeof permissions].scope).toBe('channel')
  }
})

test('a session that has ended, an unknown route and a wrong method are refused', async () => {
  await using system = await startSystem()
  const member = await system.member('system.view')
  expect(await system.call('GET', '/v1/system/health', member)).toMatchObject({ status: 200 })
  await system.authority.revoke(member.sessionId, member.userId)
  expect(await system.call('GET', '/v1/system/health', member)).toMatchObject({ status: 401 })
  expect(await system.call('GET', '/v1/nowhere')).toMatchObject({ status: 404, body: { code: 'request.noSuchRoute' } })
  expect(await system.call('DELETE', '/v1/server')).toMatchObject({ status: 404 })
})

test('the port is for services alone', async () => {
  await using system = await startSystem()
  const ask = (headers: Record<string, string>) =>
    system.service.port.handle(
      new Request('http://localhost/internal/system/registrationMode', {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: '{}',
      }),
    )
  expect((await ask({})).status).toBe(401)
  expect((await ask({ 'x-conntext-service': 'wrong' })).status).toBe(401)
  expect((await ask({ 'x-conntext-service': 'test' })).status).toBe(200)
})
