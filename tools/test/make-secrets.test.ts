import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from '../lib/root.ts'

const script = join(root, 'docker/make-secrets')

let folder: string
let directory: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'conntext-secrets-'))
  directory = join(folder, 'secrets')
})
afterEach(() => rm(folder, { recursive: true, force: true }))

function run(...args: string[]) {
  const { exitCode, stdout, stderr } = Bun.spawnSync([script, ...args])
  return { exitCode, output: stdout.toString() + stderr.toString() }
}
const read = (name: string) => Bun.file(join(directory, name)).text()

// The operator's to fill.
const EMPTY = ['smtp_url', 'backup_passphrase', 'backup_s3_access_key', 'backup_s3_secret_key']

test('makes secrets that nobody else on the machine reaches, each of its own, and tells none', async () => {
  const { exitCode, output } = run(directory)
  expect(exitCode).toBe(0)
  expect((await stat(directory)).mode & 0o777).toBe(0o700)
  const names = await readdir(directory)
  expect(names).toHaveLength(18)
  const values = await Promise.all(names.filter((name) => !EMPTY.includes(name)).map(read))
  expect(new Set(values).size).toBe(14)
  for (const value of values) {
    expect(value).toMatch(/^([A-Za-z0-9_-]{43}|([a-z2-9]{5}-){3}[a-z2-9]{5})$/)
    expect(output).not.toContain(value)
  }
  // Read by accounts of containers, written by nobody.
  for (const name of names) expect((await stat(join(directory, name))).mode & 0o777).toBe(0o444)
  for (const name of EMPTY) expect(await read(name)).toBe('')
})

test('the master key is 32 bytes', async () => {
  run(directory)
  expect(Buffer.from(await read('master_key'), 'base64url')).toHaveLength(32)
})

test('keeps what is there, and makes what is missing', async () => {
  run(directory)
  const before = await read('master_key')
  await rm(join(directory, 'redis_password'))
  expect(run(directory)).toEqual({ exitCode: 0, output: 'made redis_password\n' })
  expect(await read('master_key')).toBe(before)
  expect(await read('redis_password')).toHaveLength(43)
})

test('closes a directory that had been open', async () => {
  await mkdir(directory, { mode: 0o755 })
  expect(run(directory).exitCode).toBe(0)
  expect((await stat(directory)).mode & 0o777).toBe(0o700)
})

test("leaves alone what isn't a directory of secrets", async () => {
  await mkdir(directory, { mode: 0o755 })
  await Bun.write(join(directory, 'notes'), 'mine')
  expect(run(directory)).toMatchObject({ exitCode: 1, output: expect.stringContaining('holds something else') })
  expect((await stat(directory)).mode & 0o777).toBe(0o755)
})

test('the credential among services changes in three steps: accepted, shown, alone', async () => {
  run(directory)
  const first = await read('service_credential')
  expect(run('add', 'service_credential', directory).exitCode).toBe(0)
  const [shown, second] = (await read('service_credential')).split('\n')
  expect(shown).toBe(first)
  expect(second).toHaveLength(43)
  expect(second).not.toBe(first)
  expect(run('add', 'service_credential', directory).exitCode).toBe(1)
  expect(run('promote', 'service_credential', directory).exitCode).toBe(0)
  expect((await read('service_credential')).split('\n')).toEqual([second!, first])
  expect(run('retire', 'service_credential', directory).exitCode).toBe(0)
  expect((await read('service_credential')).trim()).toBe(second!)
  expect(run('promote', 'service_credential', directory).exitCode).toBe(1)
})

test.each([[['add', 'master_key']], [['add']], [['--help']]])('%p changes nothing', async (args) => {
  run(directory)
  const before = await Promise.all((await readdir(directory)).map(read))
  expect(run(...args, directory).exitCode).toBe(1)
  expect(await Promise.all((await readdir(directory)).map(read))).toEqual(before)
})
