import { expect, test } from 'bun:test'
import { eventually, SETUP_CODE, startServerProcess } from '@conntext/testing'
import { conntext } from './command/conntext.ts'

const PASSWORD = 'a-long-enough-password'

test('conntext maintenance keeps members of a running server from changing anything, until it is off', async () => {
  await using server = await startServerProcess({ CONNTEXT_RATE_CREDENTIALS: '0' })
  const call = async (method: string, path: string, body?: object, token?: string) => {
    const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) }
    const answer = await fetch(server.url + path, { method, headers, ...(body && { body: JSON.stringify(body) }) })
    return { status: answer.status, body: JSON.parse((await answer.text()) || 'null') }
  }
  const register = async (username: string, how: object) =>
    (await call('POST', '/v1/auth/register', { username, password: PASSWORD, ...how })).body.accessToken as string
  const owner = await register('owner', { setupCode: SETUP_CODE })
  const { code } = (await call('POST', '/v1/invites', {}, owner)).body
  const member = await register('member', { inviteCode: code })
  const rename = (token: string) => call('PATCH', '/v1/users/@me', { displayName: crypto.randomUUID() }, token)
  expect(await rename(member)).toMatchObject({ status: 200 })

  expect(await conntext(server.data, 'maintenance', 'on', '--until', '2001-01-01T00:00Z')).toMatchObject({ code: 2 })
  expect(await conntext(server.data, 'maintenance', 'on', '--message', 'New disks')).toMatchObject({ code: 0 })
  const refused = await eventually(async () => {
    const answer = await rename(member)
    return answer.status === 503 ? answer : undefined
  })
  expect(refused.body).toMatchObject({ code: 'server.maintenance', detail: 'New disks' })
  expect(await rename(owner)).toMatchObject({ status: 200 })
  expect(await call('POST', '/v1/auth/login', { login: 'member', password: PASSWORD })).toMatchObject({ status: 200 })
  expect((await call('GET', '/v1/server')).body.maintenance).toMatchObject({ message: 'New disks' })

  expect(await conntext(server.data, 'maintenance', 'off')).toMatchObject({ code: 0 })
  await eventually(async () => (await rename(member)).status === 200)
}, 120_000)
