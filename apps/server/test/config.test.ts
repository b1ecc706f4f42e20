import { afterAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConfigError } from '@conntext/kernel'
import { loadConfig } from '../src/config.ts'

const directory = mkdtempSync(join(tmpdir(), 'conntext-config-'))
afterAll(() => rmSync(directory, { recursive: true }))

test('without any variable there are defaults', () => {
  const config = loadConfig({})
  expect(config).toMatchObject({ data: './data', logLevel: 'warn', setupCode: undefined, clickhouse: undefined })
  expect(config.gateway).toMatchObject({ port: 8080, trustedProxies: 0, corsOrigins: ['*'] })
})

test('every fault is named at once, and no value is told', () => {
  const faulty = () =>
    loadConfig({ CONNTEXT_PORT: 'eighty', CONNTEXT_LOG_LEVEL: 'loud', CONNTEXT_CLICKHOUSE_URL: 'mysql://secret' })
  expect(faulty).toThrow(ConfigError)
  try {
    faulty()
  } catch (error) {
    const { message } = error as ConfigError
    for (const name of ['CONNTEXT_PORT', 'CONNTEXT_LOG_LEVEL', 'CONNTEXT_CLICKHOUSE_URL'])
      expect(message).toContain(name)
    for (const value of ['eighty', 'loud', 'secret']) expect(message).not.toContain(value)
  }
})

test('the environment goes before the file, and the file before the defaults', () => {
  const file = join(directory, 'conntext.env')
  writeFileSync(file, 'CONNTEXT_PORT=9001\nCONNTEXT_DATA=/srv/conntext\n')
  const config = loadConfig({ CONNTEXT_CONFIG: file, CONNTEXT_PORT: '9002' })
  expect(config.gateway.port).toBe(9002)
  expect(config.data).toBe('/srv/conntext')
})

test('a file that is not there is a fault', () => {
  expect(() => loadConfig({ CONNTEXT_CONFIG: join(directory, 'none') })).toThrow(/CONNTEXT_CONFIG/)
})

test('any setting may stand in a file, be it named in the environment or in the file of settings', () => {
  const secret = join(directory, 'secret')
  writeFileSync(secret, 'a setup code\n')
  const file = join(directory, 'with-files.env')
  writeFileSync(file, `CONNTEXT_SETUP_CODE_FILE=${secret}\n`)
  expect(loadConfig({ CONNTEXT_SETUP_CODE_FILE: secret })).toMatchObject({ setupCode: 'a setup code', unknown: [] })
  expect(loadConfig({ CONNTEXT_CONFIG: file }).setupCode).toBe('a setup code')
  const missing = { CONNTEXT_SMTP_URL: 'smtp://mail', CONNTEXT_PORT_FILE: join(directory, 'none') }
  expect(() => loadConfig(missing)).toThrow(/CONNTEXT_PORT_FILE[\s\S]*CONNTEXT_MAIL_FROM/)
})

test('a variable that looks like a setting and is none is pointed out', () => {
  expect(loadConfig({ CONNTEXT_PROT: '1', CONNTEXT_TEST_POSTGRES: 'x', PATH: '/bin' }).unknown).toEqual([
    'CONNTEXT_PROT',
  ])
})

test('passkeys belong to the public URL, and where it is told otherwise', () => {
  expect(loadConfig({}).webauthn).toEqual({ rpId: undefined, origins: [] })
  const told = loadConfig({
    CONNTEXT_WEBAUTHN_RP_ID: 'example.org',
    CONNTEXT_WEBAUTHN_ORIGINS: 'https://app.example.org, android:apk-key-hash:a_-9',
  })
  expect(told.webauthn).toEqual({
    rpId: 'example.org',
    origins: ['https://app.example.org', 'android:apk-key-hash:a_-9'],
  })
  const faulty = () =>
    loadConfig({ CONNTEXT_WEBAUTHN_RP_ID: 'https://example.org', CONNTEXT_WEBAUTHN_ORIGINS: 'app.example.org' })
  expect(faulty).toThrow(/CONNTEXT_WEBAUTHN_RP_ID[\s\S]*CONNTEXT_WEBAUTHN_ORIGINS/)
})

test('results of OpenID Connect logins go to this server alone, unless other origins are listed', () => {
  expect(loadConfig({})).toMatchObject({ publicUrl: 'http://localhost:8080', oidcReturnOrigins: [] })
  const CONNTEXT_OIDC_RETURN_ORIGINS = 'https://a.example , http://127.0.0.1:4000'
  expect(loadConfig({ CONNTEXT_OIDC_RETURN_ORIGINS }).oidcReturnOrigins).toEqual([
    'https://a.example',
    'http://127.0.0.1:4000',
  ])
  for (const wrong of ['*', 'a.example', 'https://a.example/path', 'https://a.example,'])
    expect(() => loadConfig({ CONNTEXT_OIDC_RETURN_ORIGINS: wrong })).toThrow(/CONNTEXT_OIDC_RETURN_ORIGINS/)
})

test('files go to a bucket where an S3 server is set, with its credentials', () => {
  expect(loadConfig({}).s3).toBeUndefined()
  expect(loadConfig({ CONNTEXT_S3_BUCKET: 'files' }).s3).toBeUndefined()
  const CONNTEXT_S3_ENDPOINT = 'https://s3.example.org'
  const keys = { CONNTEXT_S3_ACCESS_KEY: 'access', CONNTEXT_S3_SECRET_KEY: 'the-secret' }
  expect(loadConfig({ CONNTEXT_S3_ENDPOINT, ...keys }).s3).toEqual({
    endpoint: CONNTEXT_S3_ENDPOINT,
    bucket: 'conntext',
    region: 'us-east-1',
    accessKey: 'access',
    secretKey: 'the-secret',
  })
  expect(() => loadConfig({ CONNTEXT_S3_ENDPOINT })).toThrow(/CONNTEXT_S3_ACCESS_KEY[\s\S]*CONNTEXT_S3_SECRET_KEY/)
  const wrong = { CONNTEXT_S3_ENDPOINT: 'https://u:the-secret@h/path', CONNTEXT_S3_BUCKET: 'No', ...keys }
  expect(() => loadConfig(wrong)).toThrow(/CONNTEXT_S3_ENDPOINT[\s\S]*CONNTEXT_S3_BUCKET/)
  expect(() => loadConfig(wrong)).not.toThrow(/the-secret/)
})
