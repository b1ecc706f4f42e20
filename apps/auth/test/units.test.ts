import { expect, test } from 'bun:test'
import { hashPassword, verifyPassword } from '../src/passwords/passwords.ts'
import { deviceOf } from '../src/sessions/device.ts'
import { networkOf } from '../src/throttle/network.ts'
import { pauseAfter } from '../src/throttle/throttle.ts'

test('an IPv6 address stands for its /64, however it is written', () => {
  expect(networkOf('192.0.2.1')).toBe('192.0.2.1')
  expect(networkOf('::ffff:192.0.2.1')).toBe('192.0.2.1')
  const home = '2001:db8:0:1::/64'
  for (const address of ['2001:db8:0:1::7', '2001:0DB8::1:a:b:c:d', '2001:db8:0:1:ffff:ffff:ffff:ffff']) {
    expect(networkOf(address)).toBe(home)
  }
  expect(networkOf('::1')).toBe('0:0:0:0::/64')
  expect(networkOf('not an address')).toBe('not an address')
})

test('pauses begin after the free failures, double, and stay bounded', () => {
  const policy = { free: 2, firstMs: 100, longestMs: 1_000 }
  expect([0, 1, 2, 3, 4, 5, 6, 1000].map((failures) => pauseAfter(failures, policy))).toEqual([
    0, 0, 100, 200, 400, 800, 1_000, 1_000,
  ])
})

test('a password is the same however its characters are composed', async () => {
  const hash = await hashPassword('caf\u00e9 au lait')
  expect(await verifyPassword('cafe\u0301 au lait', hash)).toBe(true)
  expect(await verifyPassword('cafe au lait', hash)).toBe(false)
  expect(await verifyPassword('caf\u00e9 au lait', undefined)).toBe(false)
})

test('the decoy costs what every other hash costs', async () => {
  const source = await Bun.file(new URL('../src/passwords/passwords.ts', import.meta.url)).text()
  const cost = (text: string) => /\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+\$/.exec(text)?.[0]
  expect(cost(source)).toBe(cost(await hashPassword('any password')))
})

test('a session’s device is the browser and its system, or the name of a program', () => {
  const firefox = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0'
  const expected = {
    [firefox]: 'Firefox on Linux',
    'curl/7.88.1': 'curl',
    'python-requests/2.32.3': 'python-requests',
    'Bun/1.4.5': 'Bun',
    node: 'node',
    'curl/7.88.1/2': null,
    'two words': null,
    [`${'x'.repeat(65)}/1`]: null,
    '/1': null,
    '': null,
  }
  for (const [userAgent, device] of Object.entries(expected)) {
    expect([userAgent, deviceOf(userAgent)]).toEqual([userAgent, device])
  }
  expect(deviceOf(null)).toBeNull()
})
