import { expect, test } from 'bun:test'
import { printSettings } from '../src/cli/settings.ts'

const inForce = (given: Record<string, string>) => printSettings(given).filter((line) => !line.startsWith('#'))

test('no part of an address that may be a secret is shown', () => {
  const mail = { CONNTEXT_MAIL_FROM: 'chat@example.org' }
  const secret = 'not-for-the-screen'
  const addresses = [
    { ...mail, CONNTEXT_SMTP_URL: `smtps://user:${secret}@mail.example.org` },
    // Some services take a key in the place of the name.
    { ...mail, CONNTEXT_SMTP_URL: `smtps://${secret}@mail.example.org` },
    {
      CONNTEXT_CLICKHOUSE_URL: `http://clickhouse.example.org:8123/?password=${secret}`,
      CONNTEXT_CLICKHOUSE_PASSWORD: secret,
    },
  ]
  for (const given of addresses) {
    const lines = inForce(given).join('\n')
    expect(lines).toContain('(hidden)')
    expect(lines).toContain('example.org')
    expect(lines).not.toContain(secret)
  }
})

test('an address without secrets is shown as it is', () => {
  expect(inForce({ CONNTEXT_PUBLIC_URL: 'https://chat.example.org' })).toEqual([
    'CONNTEXT_PUBLIC_URL=https://chat.example.org',
  ])
})
