// Runs the repository's commands on a machine that has nothing but Node or Bun: gets the exact Bun that
// package.json asks for, installs dependencies when they are out of step, then hands over. Plain JavaScript
// without dependencies, since it runs before anything is installed. Everything it says goes to stderr: stdout
// belongs to the command.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  accessSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { homedir, constants as osConstants } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const bunVersion = manifest.packageManager.replace(/^bun@/, '')

/** What Bun runs for each command; the caller's arguments follow. */
const commands = {
  start: ['apps/server/src/main.ts'],
  test: ['tools/test.ts'],
  check: ['tools/check.ts'],
  lint: ['node_modules/.bin/biome', 'check'],
  typecheck: ['tools/check.ts', 'typecheck'],
  conntext: ['apps/server/src/cli/main.ts'],
  stack: ['tools/stack/main.ts'],
  demo: ['tests/demo.ts'],
  bench: ['bench/main.ts'],
  openapi: ['apps/server/src/openapi/main.ts'],
  'worker:build': ['tools/mediasoup-worker/get.ts'],
}

const say = (line) => process.stderr.write(`conntext: ${line}\n`)

/** A failure whose message is all the user needs. */
class Fault extends Error {}

// --- Child processes -----------------------------------------------------------------------------------------

let current
const lastForwarded = {}

/**
 * Passes a signal on to the child, once. Ctrl-C arrives twice under npm (from the terminal and from npm), so a
 * repeat within half a second is the same key press.
 */
function forward(signal) {
  const now = Date.now()
  if (now - (lastForwarded[signal] ?? 0) < 500) return
  lastForwarded[signal] = now
  if (current) current.kill(signal)
  else process.exit(128 + osConstants.signals[signal])
}

/** Runs a program to its end and answers { code, signal }. */
function run(command, args, options) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, ...options })
    current = child
    child.on('error', reject)
    child.on('exit', (code, signal) => {
      current = undefined
      resolve({ code, signal })
    })
  })
}

/** Runs a step of the preparation; its output goes to stderr. Ends everything when it was interrupted. */
async function prepare(command, args, options) {
  const { code, signal } = await run(command, args, { stdio: ['ignore', 2, 2], ...options })
  const interrupted = Object.keys(lastForwarded)[0] ?? signal
  if (interrupted) throw Object.assign(new Fault(`interrupted by ${interrupted}`), { signal: interrupted })
  return code
}

// --- Bun -----------------------------------------------------------------------------------------------------

/** The version that a Bun binary reports, or undefined when it doesn't run here. */
function versionOf(binary) {
  const result = spawnSync(binary, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  return result.status === 0 ? result.stdout.trim() : undefined
}

function onPath(name) {
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean)
  return folders.map((folder) => join(folder, name)).filter((file) => existsSync(file))
}

/** Where downloaded tools may lie, the preferred place first. */
function cacheFolders() {
  const base = process.env.XDG_CACHE_HOME || join(homedir(), '.cache')
  return [join(base, 'conntext'), join(root, 'node_modules', '.cache', 'conntext')]
}

function findWritableCache() {
  return cacheFolders().find((folder) => {
    try {
      mkdirSync(folder, { recursive: true })
      accessSync(folder, constants.W_OK)
      return true
    } catch {
      // No home folder, or one that can't be written to: the next place.
      return false
    }
  })
}

function writableCache() {
  const found = findWritableCache()
  if (found) return found
  throw new Fault(`can't write to ${cacheFolders().join(' or ')}; set XDG_CACHE_HOME to a folder that can`)
}

function findBun() {
  if (process.versions.bun === bunVersion) return process.execPath
  const cached = cacheFolders().map((folder) => join(folder, `bun-${bunVersion}`, 'bin', 'bun'))
  const found = onPath('bun').find((file) => versionOf(file) === bunVersion)
  return found ?? cached.find((file) => existsSync(file))
}

/** The package manager at hand, as command and leading arguments: npm, or whichever Bun runs this. */
function packageManager() {
  const cli = process.env.npm_execpath
  if (cli && /npm-cli\.c?js$/.test(cli) && !process.versions.bun) return { npm: [process.execPath, cli] }
  if (onPath('npm').length > 0) return { npm: ['npm'] }
  if (process.versions.bun) return { bun: [process.execPath] }
  throw new Fault(`neither npm nor Bun ${bunVersion} was found; install Node.js (18 or later) with npm`)
}

/**
 * The binary is used straight from its platform package: npm may refuse to run the install script that would put
 * it elsewhere. The few retries keep the message about a missing network from taking more than a minute.
 */
function npmFlags(folder) {
  const quiet = ['--loglevel=error', '--no-audit', '--no-fund', '--no-package-lock']
  const retries = ['--fetch-retries=3', '--fetch-retry-mintimeout=1000', '--fetch-retry-maxtimeout=4000']
  // No writable home folder means no cache for npm there either.
  const cache = folder.startsWith(cacheFolders()[0]) ? [] : ['--cache', join(folder, 'npm-cache')]
  return ['install', '--prefix', folder, '--global=false', '--ignore-scripts', ...quiet, ...retries, ...cache]
}

/** Installs the wanted Bun from the npm registry that the user configured, and answers its path. */
async function installBun() {
  const cache = writableCache()
  const folder = mkdtempSync(join(cache, '.bun-'))
  say(`installing Bun ${bunVersion} from npm into ${cache} (once)`)
  try {
    if (existsSync(join(root, '.npmrc'))) copyFileSync(join(root, '.npmrc'), join(folder, '.npmrc'))
    writeFileSync(join(folder, 'package.json'), '{ "private": true }')
    const { npm, bun } = packageManager()
    const [command, ...args] = npm ? [...npm, ...npmFlags(folder)] : [...bun, 'add', '--ignore-scripts']
    const code = await prepare(command, [...args, `bun@${bunVersion}`], { cwd: folder })
    if (code !== 0) throw new Fault(`Bun could not be installed. ${networkHint}`)
    const binary = platformBinaries(folder).find((file) => versionOf(file) === bunVersion)
    if (!binary) throw new Fault(`the npm package bun@${bunVersion} has no binary that runs on this machine`)
    return keepBun(binary, join(cache, `bun-${bunVersion}`), folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** More than one may have been installed (glibc and musl, with and without AVX2): the caller tries each. */
function platformBinaries(folder) {
  const scope = join(folder, 'node_modules', '@oven')
  const packages = existsSync(scope) ? readdirSync(scope) : []
  return packages.map((name) => join(scope, name, 'bin', 'bun')).filter((file) => existsSync(file))
}

/** Moves the binary to its place in one step, so that nobody ever sees half of it. */
function keepBun(binary, target, folder) {
  const staged = join(folder, 'staged')
  mkdirSync(join(staged, 'bin'), { recursive: true })
  renameSync(binary, join(staged, 'bin', 'bun'))
  try {
    renameSync(staged, target)
  } catch (error) {
    // Another run was faster.
    if (versionOf(join(target, 'bin', 'bun')) !== bunVersion) throw error
  }
  return join(target, 'bin', 'bun')
}

// --- Dependencies --------------------------------------------------------------------------------------------

const networkHint =
  'The reason stands above. If it is the network: the npm registry (`npm config get registry`) must be reachable once; after that everything works offline.'

function workspaceManifests() {
  return manifest.workspaces.packages.flatMap((pattern) => {
    if (!pattern.endsWith('/*')) return [join(pattern, 'package.json')]
    const folder = pattern.slice(0, -2)
    const names = existsSync(join(root, folder)) ? readdirSync(join(root, folder)).sort() : []
    return names.map((name) => join(folder, name, 'package.json'))
  })
}

/** Changes whenever what `bun install` would do changes. */
function dependencyHash() {
  const hash = createHash('sha256').update(`${bunVersion} ${process.platform} ${process.arch}`)
  for (const file of ['bun.lock', 'bunfig.toml', 'package.json', ...workspaceManifests()]) {
    if (existsSync(join(root, file))) hash.update(`\0${file}\0`).update(readFileSync(join(root, file)))
  }
  return hash.digest('hex')
}

/** npm's own view of the registry settings, wherever they were set, in the form that Bun takes. */
function registrySettings() {
  const manager = process.versions.bun && onPath('npm').length === 0 ? {} : packageManager()
  if (!manager.npm) return { args: [], env: {} }
  const [command, ...args] = [...manager.npm, 'config', 'list', '--json', '--loglevel=error']
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  let config = {}
  try {
    config = JSON.parse(result.stdout)
  } catch {
    // A broken npm is no reason to stop: Bun reads the usual npmrc files by itself.
  }
  const env = {}
  if (config.registry) env.npm_config_registry = config.registry
  if (config['https-proxy'] && !process.env.HTTPS_PROXY) env.HTTPS_PROXY = config['https-proxy']
  if (config.proxy && !process.env.HTTP_PROXY) env.HTTP_PROXY = config.proxy
  return { args: config.cafile ? ['--cafile', config.cafile] : [], env }
}

async function installDependencies(bun) {
  const stamp = join(root, 'node_modules', '.conntext-installed')
  const inStep = () => existsSync(stamp) && readFileSync(stamp, 'utf8') === dependencyHash()
  if (inStep()) return
  const unlock = await lock(join(root, 'node_modules', '.conntext-installing'))
  try {
    if (inStep()) return
    say('installing dependencies')
    const started = Date.now()
    const { args, env } = registrySettings()
    const code = await prepare(bun, ['install', '--frozen-lockfile', ...args], { env: childEnv(bun, env) })
    if (code !== 0) throw new Fault(`dependencies could not be installed. ${networkHint}`)
    writeFileSync(stamp, dependencyHash())
    say(`dependencies are in place (${((Date.now() - started) / 1000).toFixed(1)} s)`)
  } finally {
    unlock()
  }
}

/** Waits for its turn when another run is installing into the same tree. */
async function lock(file) {
  mkdirSync(dirname(file), { recursive: true })
  for (let told = false; ; ) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' })
      return () => rmSync(file, { force: true })
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    if (!isAlive(holderOf(file))) rmSync(file, { force: true })
    else {
      if (!told) say('another run is installing dependencies; waiting for it')
      told = true
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }
}

/** The process that holds a lock; this one when the lock was just given up. */
function holderOf(file) {
  try {
    return Number(readFileSync(file, 'utf8')) || process.pid
  } catch {
    return process.pid
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

// --- Handing over --------------------------------------------------------------------------------------------

/**
 * The found Bun goes first on PATH: Turborepo and package scripts call `bun` by name. What the command caches goes
 * where this file caches.
 */
function childEnv(bun, extra = {}) {
  const cache = findWritableCache()
  const moved = cache && cache !== cacheFolders()[0] ? { XDG_CACHE_HOME: dirname(cache) } : {}
  const path = [dirname(bun), process.env.PATH].filter(Boolean).join(delimiter)
  return { ...process.env, ...moved, ...extra, PATH: path }
}

/**
 * Runs the command in a process group of its own, so that Ctrl-C reaches it through us and not twice. Its stdin
 * is a pipe that closes when this process is gone, even by kill -9; tools/lifeline.ts then ends it.
 */
async function handOver(bun, [file, ...fixed], args) {
  if (!existsSync(join(root, file))) throw new Fault(`${file} does not exist`)
  endWithLifecycle()
  return run(bun, ['--preload', './tools/lifeline.ts', file, ...fixed, ...args], {
    stdio: ['pipe', 'inherit', 'inherit'],
    detached: true,
    // Bun's 256 requests at once are fewer than there may be slow downloads from an object store.
    env: childEnv(bun, { BUN_CONFIG_MAX_HTTP_REQUESTS: '16384', CONNTEXT_LIFELINE: 'stdin' }),
  })
}

/** `npm start` that is killed can't pass that on; a changed parent shows it. */
function endWithLifecycle() {
  if (!process.env.npm_lifecycle_event) return
  const parent = process.ppid
  const timer = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(timer)
    forward('SIGTERM')
  }, 1000)
  timer.unref()
}

function exitLike({ code, signal }) {
  process.exitCode = code ?? 128 + (osConstants.signals[signal] ?? 0)
}

async function main([name, ...args]) {
  const command = Object.hasOwn(commands, name ?? '') ? commands[name] : undefined
  if (!command) throw new Fault(`usage: bootstrap.mjs ${Object.keys(commands).join('|')} [arguments]`)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => forward(signal))
  const bun = findBun() ?? (await installBun())
  await installDependencies(bun)
  exitLike(await handOver(bun, command, args))
}

try {
  await main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof Fault)) throw error
  say(error.message)
  exitLike({ code: error.signal ? null : 1, signal: error.signal })
}
process.exit()
