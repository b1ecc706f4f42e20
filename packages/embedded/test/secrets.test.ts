import { expect, test } from 'bun:test'
import { chmodSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openDataDirectory, readOrCreateSecret, SecretUnusable } from '../src/index.ts'
import { temporaryDirectory } from './support/directories.ts'

function openTemporary() {
  const directory = temporaryDirectory()
  const data = openDataDirectory(join(directory.path, 'data'))
  return {
    data,
    file: (name: string) => join(data.path, 'secrets', name),
    [Symbol.dispose]() {
      data.close()
      directory[Symbol.dispose]()
    },
  }
}

test('a secret is made once, private, and read back', () => {
  using place = openTemporary()
  const secret = readOrCreateSecret(place.data, 'master-key', 32)
  expect(Buffer.from(secret, 'base64url')).toHaveLength(32)
  expect(readOrCreateSecret(place.data, 'master-key', 32)).toBe(secret)
  expect(readOrCreateSecret(place.data, 'other', 32)).not.toBe(secret)
  expect(statSync(place.file('master-key')).mode & 0o777).toBe(0o600)
  expect(statSync(place.file('')).mode & 0o777).toBe(0o700)
  expect(readdirSync(place.file('')).sort()).toEqual(['master-key', 'other'])
})

test('one that others may read is refused, with the way out, and kept', () => {
  using place = openTemporary()
  const secret = readOrCreateSecret(place.data, 'key', 32)
  chmodSync(place.file('key'), 0o640)
  expect(() => readOrCreateSecret(place.data, 'key', 32)).toThrow(SecretUnusable)
  expect(() => readOrCreateSecret(place.data, 'key', 32)).toThrow(
    `mode 0640). If nobody else can have read it, run: chmod 600`,
  )
  expect(readFileSync(place.file('key'), 'utf8').trim()).toBe(secret)
})

test('a truncated, an empty or a linked one is refused rather than replaced', () => {
  using place = openTemporary()
  readOrCreateSecret(place.data, 'key', 32)
  for (const content of ['', 'c2hvcnQ', 'not base64url!!']) {
    writeFileSync(place.file('key'), content)
    expect(() => readOrCreateSecret(place.data, 'key', 32)).toThrow(SecretUnusable)
    expect(readFileSync(place.file('key'), 'utf8')).toBe(content)
  }
  symlinkSync('/etc/hostname', place.file('linked'))
  expect(() => readOrCreateSecret(place.data, 'linked', 32)).toThrow('is not a regular file')
  expect(() => readOrCreateSecret(place.data, '../escape', 32)).toThrow(TypeError)
})
