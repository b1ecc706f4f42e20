import { describe, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkImports, importsOf } from '../check-imports.ts'

/** Dependencies by workspace folder. */
type Manifests = Record<string, string[]>

/** A made-up tree: every workspace has what it declares, and one file is put to the test. */
async function check(manifests: Manifests, files: Record<string, string>): Promise<string[]> {
  const root = await mkdtemp(join(tmpdir(), 'conntext-imports-'))
  try {
    await Bun.write(join(root, 'package.json'), JSON.stringify({ workspaces: ['apps/*', 'packages/*', 'tools'] }))
    for (const [folder, dependencies] of Object.entries(manifests)) {
      const name = `@conntext/${folder.replace(/^\w+\//, '')}`
      const declared = Object.fromEntries(dependencies.map((dependency) => [dependency, '*']))
      await Bun.write(join(root, folder, 'package.json'), JSON.stringify({ name, dependencies: declared }))
    }
    for (const [file, source] of Object.entries(files)) await Bun.write(join(root, file), source)
    return await checkImports(root)
  } finally {
    await rm(root, { recursive: true, force: true })
  }
}

const kernel = '@conntext/kernel'

describe('what is allowed', () => {
  test('downwards, declared, builtin, own name and relative imports', async () => {
    const manifests = {
      'packages/kernel': ['pino'],
      'packages/contracts': [kernel],
      'packages/http': [kernel, '@conntext/contracts', 'elysia'],
      'apps/auth': [kernel, '@conntext/http', 'elysia'],
      'apps/gateway': ['elysia'],
      'apps/server': ['@conntext/auth'],
    }
    const faults = await check(manifests, {
      'packages/kernel/src/index.ts': `import { pino } from 'pino'\nimport { x } from './x.ts'\nx(pino)`,
      'packages/kernel/src/x.ts': `import { readFile } from 'node:fs/promises'\nimport { sql } from 'bun'\nexport const x = [readFile, sql]`,
      'packages/http/src/app.ts': `import { Elysia } from 'elysia'\nimport type { C } from '@conntext/contracts'\nexport const a: C = new Elysia()`,
      'apps/auth/src/login/routes.ts': `import { Elysia } from 'elysia'\nexport const routes = new Elysia()`,
      'apps/auth/src/service.ts': `import { Elysia } from 'elysia'\nexport const service = new Elysia()`,
      'apps/auth/src/login/login.ts': `import type { Elysia } from 'elysia'\nexport type T = Elysia`,
      'apps/auth/test/self.test.ts': `import { service } from '@conntext/auth'\nservice()`,
      'apps/gateway/src/routes/ws.ts': `import { Elysia } from 'elysia'\nexport const ws = new Elysia()`,
      'apps/server/src/main.ts': `import { service } from '@conntext/auth'\nservice()`,
      'apps/server/src/generic.ts': 'export const same = <T>(value: T): T => value',
      'apps/server/src/document.ts': `import api from '../../../openapi/conntext.json'\nexport default api`,
    })
    expect(faults).toEqual([])
  })
})

/** One rule each: the workspaces, the file that breaks it, its import, and what is said about it. */
const rules: [string, Manifests, string, string, string][] = [
  [
    'kernel imports no workspace',
    { 'packages/kernel': ['@conntext/bus'], 'packages/bus': [] },
    'packages/kernel/src/a.ts',
    '@conntext/bus',
    'may import no other workspace',
  ],
  [
    'sdk imports no workspace',
    { 'packages/sdk': [kernel], 'packages/kernel': [] },
    'packages/sdk/src/a.ts',
    kernel,
    'may import no other workspace',
  ],
  [
    'a package keeps to kernel and contracts',
    { 'packages/object-store': ['@conntext/bus'], 'packages/bus': [] },
    'packages/object-store/src/a.ts',
    '@conntext/bus',
    'may import @conntext/kernel, @conntext/contracts',
  ],
  [
    'outbox keeps to kernel',
    { 'packages/outbox': ['@conntext/contracts'], 'packages/contracts': [] },
    'packages/outbox/src/a.ts',
    '@conntext/contracts',
    'may import @conntext/kernel',
  ],
  [
    'a db package stays away from http',
    { 'packages/db-audit': ['@conntext/http'], 'packages/http': [] },
    'packages/db-audit/src/a.ts',
    '@conntext/http',
    'may import @conntext/kernel, @conntext/outbox',
  ],
  [
    'a package imports no app',
    { 'packages/bus': ['@conntext/auth'], 'apps/auth': [] },
    'packages/bus/src/a.ts',
    '@conntext/auth',
    'never imports an app',
  ],
  [
    'an app imports no other app',
    { 'apps/system': ['@conntext/auth'], 'apps/auth': [] },
    'apps/system/src/a.ts',
    '@conntext/auth',
    'only apps/server',
  ],
  [
    'apps/server imports only entries',
    { 'apps/server': ['@conntext/auth'], 'apps/auth': [] },
    'apps/server/src/a.ts',
    '@conntext/auth/src/login.ts',
    'by its entry alone',
  ],
  [
    'tools import only an agreed entry of an app',
    { tools: ['@conntext/realtime'], 'apps/realtime': [] },
    'tools/a.ts',
    '@conntext/realtime',
    'only apps/server',
  ],
  [
    'testing stays out of what is shipped',
    { 'apps/auth': ['@conntext/testing'], 'packages/testing': [] },
    'apps/auth/src/a.ts',
    '@conntext/testing',
    'never shipped',
  ],
  [
    'nothing imports tools',
    { 'apps/auth': ['@conntext/tools'], tools: [] },
    'apps/auth/src/a.ts',
    '@conntext/tools',
    'nothing imports tools',
  ],
  [
    'elysia stays in routes and service',
    { 'apps/auth': ['elysia'] },
    'apps/auth/src/login/login.ts',
    'elysia',
    'elysia at run time',
  ],
  [
    'elysia stays out of other packages',
    { 'packages/bus': ['elysia'] },
    'packages/bus/src/a.ts',
    'elysia',
    'elysia at run time',
  ],
  ['a dependency is declared', { 'packages/bus': [] }, 'packages/bus/src/a.ts', 'ioredis', 'ioredis is not declared'],
  [
    'a workspace is declared',
    { 'apps/auth': [], 'packages/kernel': [] },
    'apps/auth/src/a.ts',
    kernel,
    'is not declared',
  ],
  [
    'a relative import stays inside',
    { 'apps/auth': [] },
    'apps/auth/src/a.ts',
    '../../system/src/x.ts',
    'leaves its workspace',
  ],
]

describe('what is refused', () => {
  for (const [rule, manifests, file, specifier, fault] of rules) {
    test(rule, async () => {
      const faults = await check(manifests, { [file]: `import x from '${specifier}'\nx()` })
      expect(faults).toEqual([expect.stringContaining(fault)])
      expect(faults[0]).toStartWith(`${file}: '${specifier}': `)
    })
  }

  test('a type-only import breaks the layering as well', async () => {
    const manifests = { 'apps/system': ['@conntext/auth'], 'apps/auth': [] }
    const source = `import type { A } from '@conntext/auth'\nexport type B = A`
    expect(await check(manifests, { 'apps/system/src/a.ts': source })).toHaveLength(1)
  })

  test('workspaces that depend on each other', async () => {
    const faults = await check({ 'packages/bus': [kernel], 'packages/kernel': ['@conntext/bus'] }, {})
    expect(faults).toEqual([expect.stringContaining('circle: @conntext/bus → @conntext/kernel → @conntext/bus')])
  })

  test('a file that does not parse', async () => {
    const faults = await check({ 'packages/bus': [] }, { 'packages/bus/src/a.ts': 'import {' })
    expect(faults).toEqual([expect.stringContaining("can't be parsed")])
  })
})

test('every way to import is seen, and what only types need is told apart', () => {
  const source = `
    import a from 'plain'
    import type { T } from 'type-only'
    import { type U } from 'inline-type'
    export type { Q } from 'export-type'
    export * from 'star'
    import 'side-effect'
    type X = import('type-import').Foo
    export type Later = 'alias'
    const d = await import('dynamic')
    // import 'comment'
    a(d)
  `
  const found = importsOf('a.ts', source)
  const names = (runtime: boolean) => found.filter((entry) => entry.runtime === runtime).map((entry) => entry.specifier)
  expect(names(true).sort()).toEqual(['dynamic', 'plain', 'side-effect', 'star'])
  expect(names(false).sort()).toEqual(['export-type', 'inline-type', 'type-import', 'type-only'])
})
