import { expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Validator } from '@seriousme/openapi-schema-validator'
import { document, operations } from './matrix/document.ts'

const path = (relative: string) => fileURLToPath(new URL(`../${relative}`, import.meta.url))

async function run(cwd: string, ...command: string[]): Promise<{ code: number; output: string }> {
  const child = Bun.spawn([process.execPath, ...command], { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  const output = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
  return { code: await child.exited, output: output.join('\n') }
}

test('the document is valid OpenAPI 3.1', async () => {
  const validator = new Validator()
  const { valid, errors } = await validator.validate(JSON.parse(JSON.stringify(document)))
  expect({ valid, errors }).toEqual({ valid: true, errors: undefined })
  expect(validator.version).toBe('3.1')
})

test('every reference leads somewhere, and nothing is defined for nobody', () => {
  const text = JSON.stringify(document)
  const references = new Set([...text.matchAll(/"\$ref":"(#[^"]+)"/g)].map(([, reference]) => reference!))
  expect(references.size).toBeGreaterThan(20)
  const target = (reference: string) =>
    reference
      .slice(2)
      .split('/')
      .reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], document)
  expect([...references].filter((reference) => target(reference) === undefined)).toEqual([])
  const { schemas, responses } = document.components
  const defined = Object.entries({ schemas, responses }).flatMap(([kind, entries]) =>
    Object.keys(entries).map((name) => `#/components/${kind}/${name}`),
  )
  expect(defined.filter((reference) => !references.has(reference))).toEqual([])
})

test('every operation has a name of its own, and says what may go wrong', () => {
  const ids = operations.map(({ id }) => id)
  expect(ids.filter((id, index) => !/^[a-z][A-Za-z]+$/.test(id) || ids.indexOf(id) !== index)).toEqual([])
  for (const { method, path, permission, responses, parameters, body } of operations) {
    const wanted = [
      400,
      413,
      422,
      429,
      500,
      503,
      ...(permission === 'public' ? [] : [401, 403]),
      ...(parameters.some((one) => one.in === 'path') ? [404] : []),
      ...(body ? [409, 415] : []),
    ]
    const missing = wanted.filter((status) => !responses.has(status))
    expect([`${method} ${path}`, missing]).toEqual([`${method} ${path}`, []])
    expect([...responses.keys()].some((status) => status < 400)).toBe(true)
  }
})

test('a refusal is a problem, whatever the operation', () => {
  for (const { method, path, responses } of operations) {
    for (const [status, { types }] of responses) {
      // Readiness tells its parts when it is not.
      if (status < 400 || (path === '/readyz' && status === 503)) continue
      expect([method, path, status, types]).toEqual([method, path, status, ['application/problem+json']])
    }
  }
})

test('the committed document is what the routes say', async () => {
  const { code, output } = await run(path('apps/server'), 'src/openapi/main.ts', '--check')
  expect({ code, output: output.trim() }).toEqual({ code: 0, output: '' })
})

test('the committed SDK is what its generator makes of the document', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'conntext-sdk-'))
  try {
    const made = await run(path('packages/sdk'), 'run', 'generate', '--output', directory)
    expect(made.code).toBe(0)
    const read = async (root: string) => {
      const files = await Array.fromAsync(new Bun.Glob('**/*').scan(root))
      return Object.fromEntries(
        await Promise.all(files.sort().map(async (f) => [f, await Bun.file(join(root, f)).text()])),
      )
    }
    const [generated, committed] = await Promise.all([read(directory), read(path('packages/sdk/src/generated'))])
    expect(Object.keys(committed)).toEqual(Object.keys(generated))
    const different = Object.keys(generated).filter((file) => generated[file] !== committed[file])
    expect(different).toEqual([])
  } finally {
    await rm(directory, { recursive: true })
  }
}, 60_000)
