import { expect, test } from 'bun:test'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import {
  DataDirectoryUnusable,
  findPostgresOf,
  findSecret,
  openDataDirectory,
  readOrCreateSecret,
  replaceSecret,
  visitDataDirectory,
} from '../src/index.ts'
import { temporaryDirectory } from './support/directories.ts'

test('the data directory of a running server can be visited, without its lock', () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'data')
  using data = openDataDirectory(path)
  const secret = readOrCreateSecret(data, 'a-key', 32)
  const visited = visitDataDirectory(path)
  expect(visited.path).toBe(data.path)
  expect(findSecret(visited, 'a-key', 32)).toBe(secret)
})

test('what is no data directory is refused, and left as it is', () => {
  using directory = temporaryDirectory()
  expect(() => visitDataDirectory(directory.path)).toThrow(DataDirectoryUnusable)
  expect(() => visitDataDirectory(join(directory.path, 'missing'))).toThrow(DataDirectoryUnusable)
  expect(readdirSync(directory.path)).toEqual([])
})

test('a secret that is not there is not made; one is put in the place of another', () => {
  using directory = temporaryDirectory()
  using data = openDataDirectory(join(directory.path, 'data'))
  expect(findSecret(data, 'next', 32)).toBeUndefined()
  const old = readOrCreateSecret(data, 'current', 32)
  const next = readOrCreateSecret(data, 'next', 32)
  replaceSecret(data, { from: 'next', to: 'current' })
  expect(findSecret(data, 'current', 32)).toBe(next)
  expect(next).not.toBe(old)
  expect(existsSync(join(data.path, 'secrets', 'next'))).toBe(false)
})

test('no Postgres is found where none runs', () => {
  using directory = temporaryDirectory()
  expect(findPostgresOf(join(directory.path, 'postgres'), 'password')).toBeUndefined()
})
