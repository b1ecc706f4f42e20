// Holds the layering that docs/architecture describes: imports point downwards only, each workspace imports only
// what it declares, and Elysia stays where HTTP is spoken. Type-only imports count for layering (a type is a
// dependency too) but not for the Elysia rule, which is about what runs.
import { isBuiltin } from 'node:module'
import { dirname, join, normalize } from 'node:path'
import { listFiles, readWorkspaces, type Workspace } from './lib/workspaces.ts'

const scope = '@conntext/'

/** Which workspaces each package may import; one not named here gets `kernel` and `contracts`. */
const packageEdges: Record<string, readonly string[] | 'any package'> = {
  kernel: [],
  'search-text': [],
  sdk: [],
  contracts: ['kernel'],
  database: ['kernel'],
  outbox: ['kernel', 'database'],
  idempotency: ['kernel', 'database'],
  keyring: ['kernel', 'database'],
  streams: ['kernel', 'contracts', 'bus', 'database'],
  http: ['kernel', 'contracts', 'bus', 'database', 'idempotency'],
  'db-server-details': ['kernel', 'contracts', 'outbox', 'idempotency', 'keyring', 'database', 'streams'],
  'db-communications': ['kernel', 'contracts', 'outbox', 'idempotency', 'keyring', 'database', 'streams'],
  'db-audit': ['kernel', 'outbox'],
  telemetry: ['kernel'],
  backup: ['kernel', 'keyring', 'db-audit', 'object-store'],
  runtime: ['kernel', 'contracts', 'bus', 'database', 'http', 'telemetry'],
  testing: 'any package',
}
const commonEdges = ['kernel', 'contracts']

/** Single entries of an app that somebody needs besides the service itself. */
const appEntries = new Map([
  ['tools', new Set(['@conntext/realtime/worker'])],
  // Where the media worker is that calls are measured against; the audit log, which is measured by itself.
  ['bench', new Set(['@conntext/realtime/worker', '@conntext/system/admin'])],
  // What an operator's commands do to accounts, keys and files; where they look for the media worker, and what they try
  // of calls where no server runs.
  [
    'apps/server',
    new Set([
      '@conntext/auth/admin',
      '@conntext/messaging/admin',
      '@conntext/system/admin',
      '@conntext/realtime/worker',
      '@conntext/realtime/selftest',
      // What a command needs of the services' configuration, without the services.
      '@conntext/auth/settings',
      '@conntext/gateway/settings',
      '@conntext/messaging/settings',
      '@conntext/realtime/settings',
      '@conntext/system/settings',
    ]),
  ],
])

/** Generated data that belongs to no workspace. */
const sharedFiles = new Set(['openapi/conntext.json', 'openapi/asyncapi.yaml'])

/** Test code may use more than what it tests: stores, fixtures, a bare Elysia app. */
const isTest = (file: string) => /(^|\/)test\/|\.(test|spec)\.\w+$/.test(file)

interface Import {
  file: string
  specifier: string
  /** Left in the code that runs. */
  runtime: boolean
}

const transpilers = {
  ts: new Bun.Transpiler({ loader: 'ts' }),
  tsx: new Bun.Transpiler({ loader: 'tsx' }),
}

/** `import … from` and `export … from`, type-only or not, which Biome keeps at the start of a line. */
const fromClause = /^\s*(?:import|export)\s[\w\s{},*$]*?\bfrom\s*['"]([^'"]+)['"]/gm
/** `import('…')`, in code and in types. */
const inlineImport = /\bimport\(\s*['"]([^'"]+)['"]\s*\)/g

/** All imports of a source text, also the type-only ones, which the transpiler by itself leaves out. */
export function importsOf(file: string, source: string): Import[] {
  const transpiler = transpilers[file.endsWith('x') ? 'tsx' : 'ts']
  const runtime = new Set(transpiler.scanImports(source).map((found) => found.path))
  const text = source.replace(/`(?:[^`\\]|\\[\s\S])*`/g, '``')
  const written = [...text.matchAll(fromClause), ...text.matchAll(inlineImport)].map((match) => match[1]!)
  return [...new Set([...runtime, ...written])].map((specifier) => ({
    file,
    specifier,
    runtime: runtime.has(specifier),
  }))
}

/** `@scope/name/sub` → `@scope/name`. */
function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

/** What is wrong with one import, or undefined. */
export function judge(from: Workspace, entry: Import, all: Map<string, Workspace>): string | undefined {
  const { specifier, file } = entry
  if (specifier.startsWith('.')) return judgeRelative(from, file, specifier)
  if (isBuiltin(specifier) || specifier === 'bun' || specifier.startsWith('bun:')) return undefined
  const name = packageOf(specifier)
  const target = all.get(name)
  if (target && target !== from) {
    const fault = judgeLayer(from, target, entry)
    if (fault) return fault
  }
  if (target !== from && !from.declared.has(name)) return `${name} is not declared in its package.json`
  if (name === 'elysia' && entry.runtime && !mayRunElysia(from, file)) {
    return 'elysia at run time belongs in packages/http, routes.ts and service.ts'
  }
  return undefined
}

function judgeRelative(from: Workspace, file: string, specifier: string): string | undefined {
  const target = normalize(join(from.folder, dirname(file), specifier))
  return target.startsWith(`${from.folder}/`) || sharedFiles.has(target) ? undefined : 'leaves its workspace'
}

function judgeLayer(from: Workspace, target: Workspace, { specifier, file }: Import): string | undefined {
  if (target.kind === 'app') return judgeAppImport(from, target, specifier)
  if (target.kind === 'other') return `nothing imports ${target.folder}`
  const short = target.name.slice(scope.length)
  if (short === 'testing' && from.kind !== 'other') {
    return isTest(file) ? undefined : 'testing is for tests, and never shipped'
  }
  if (from.kind !== 'package') return undefined
  const edges = packageEdges[from.name.slice(scope.length)] ?? commonEdges
  // Tests of a package may use any other; what that could break is a circle, and findCircle sees it.
  if (isTest(file) || edges === 'any package' || edges.includes(short)) return undefined
  return `${from.name} may import ${edges.map((edge) => scope + edge).join(', ') || 'no other workspace'}`
}

function judgeAppImport(from: Workspace, target: Workspace, specifier: string): string | undefined {
  if (appEntries.get(from.folder)?.has(specifier)) return undefined
  if (from.kind === 'package') return 'a package never imports an app'
  if (from.folder !== 'apps/server') return 'only apps/server imports other apps'
  return specifier === target.name ? undefined : `apps/server imports ${target.name} by its entry alone`
}

function mayRunElysia(from: Workspace, file: string): boolean {
  if (from.folder === 'packages/http' || from.kind === 'other' || isTest(file)) return true
  if (/(^|\/)(routes|service)\.ts$/.test(file)) return true
  return from.folder === 'apps/gateway' && /(^|\/)routes\/|[-.]routes\.ts$/.test(file)
}

/** A circle of workspaces as `a → b → a`, or undefined. Turborepo refuses them, in its own words. */
export function findCircle(all: Map<string, Workspace>): string | undefined {
  const done = new Set<string>()
  const visit = (name: string, trail: string[]): string | undefined => {
    if (trail.includes(name)) return [...trail.slice(trail.indexOf(name)), name].join(' → ')
    if (done.has(name)) return undefined
    for (const next of all.get(name)?.declared ?? []) {
      const circle = all.has(next) ? visit(next, [...trail, name]) : undefined
      if (circle) return circle
    }
    done.add(name)
    return undefined
  }
  return [...all.keys()].map((name) => visit(name, [])).find(Boolean)
}

function faultsIn(from: Workspace, file: string, source: string, all: Map<string, Workspace>): string[] {
  const place = `${from.folder}/${file}`
  try {
    return importsOf(file, source).flatMap((entry) => {
      const fault = judge(from, entry, all)
      return fault ? [`${place}: '${entry.specifier}': ${fault}`] : []
    })
  } catch (error) {
    return [`${place}: can't be parsed: ${error}`]
  }
}

/** Checks the tree under `root`; answers one line a fault. */
export async function checkImports(root: string): Promise<string[]> {
  const workspaces = await readWorkspaces(root)
  const all = new Map(workspaces.map((workspace) => [workspace.name, workspace]))
  const faults: string[] = []
  for (const from of workspaces) {
    for (const file of await listFiles(root, from, '**/*.{ts,tsx,mts,js,mjs}')) {
      const source = await Bun.file(join(root, from.folder, file)).text()
      faults.push(...faultsIn(from, file, source, all))
    }
  }
  const circle = findCircle(all)
  return circle ? [...faults, `workspaces depend on each other in a circle: ${circle}`] : faults
}

if (import.meta.main) {
  const faults = await checkImports(dirname(import.meta.dir))
  for (const fault of faults) console.error(fault)
  if (faults.length > 0) process.exit(1)
}
