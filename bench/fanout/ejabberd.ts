import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '@conntext/embedded'
import { spawnBound } from '@conntext/embedded/bound-process'
import { eventually } from '@conntext/testing'
import { removeAfterwards } from '@conntext/testing/shared'
import { XMPP_HOST } from '../crowd/xmpp.ts'

const GET = new URL('../../tools/ejabberd/get.ts', import.meta.url).pathname
const START_MS = 60_000
const STOP_MS = 5_000

/** One room in which nobody is told who comes and goes, no history, no limits; whoever comes is believed. */
const configuration = (port: number) => `
hosts: [${XMPP_HOST}]
loglevel: error
auth_method: [anonymous]
anonymous_protocol: both
listen:
  - { port: ${port}, ip: 127.0.0.1, module: ejabberd_c2s, backlog: 1024, max_stanza_size: 262144 }
modules:
  mod_muc:
    host: muc.@HOST@
    access: all
    access_create: all
    history_size: 0
    max_users: 20000
    default_room_options: { max_users: 20000, presence_broadcast: [], logging: false }
`

export type Ejabberd = { version: string; port: number; pid: number; [Symbol.asyncDispose](): Promise<void> }

/** Starts ejabberd from Debian's packages; undefined, and why on standard error, where that can't be had. */
export async function startEjabberd(): Promise<Ejabberd | undefined> {
  const getting = Bun.spawn([process.execPath, GET], { stdio: ['ignore', 'pipe', 'inherit'] })
  const folder = (await new Response(getting.stdout).text()).trim()
  if ((await getting.exited) !== 0) return undefined
  const directory = await mkdtemp(join(tmpdir(), 'conntext-ejabberd-'))
  removeAfterwards(directory)
  const port = await freePort()
  await Bun.write(join(directory, 'ejabberd.yml'), configuration(port))
  const child = await launch(folder, directory)
  const stop = async () => {
    await child.end([
      { signal: 'SIGTERM', ms: STOP_MS },
      { signal: 'SIGKILL', ms: STOP_MS },
    ])
    await rm(directory, { recursive: true, force: true })
  }
  const ended = child.exited.then(() => true)
  const listens = async () => {
    if (await Promise.race([ended, Bun.sleep(50)])) throw new Error(child.recentLines())
    const socket = await Bun.connect({ hostname: '127.0.0.1', port, socket: { data() {} } }).catch(() => undefined)
    socket?.end()
    return socket !== undefined
  }
  try {
    await eventually(listens, START_MS)
  } catch (error) {
    console.error(`  ejabberd does not run here, and is left out: ${error instanceof Error ? error.message : error}`)
    await stop()
    return undefined
  }
  const version = /ejabberd-([\d.]+)/.exec(folder.split('/').at(-1)!)?.[1] ?? ''
  return { version, port, pid: child.pid, [Symbol.asyncDispose]: stop }
}

/** Debian's own starters know one place only; Erlang's inner one takes any. */
async function launch(folder: string, directory: string) {
  const root = join(folder, 'usr/lib/erlang')
  const runtime = (await readdir(root)).find((name) => name.startsWith('erts-'))
  if (!runtime) throw new Error(`there is no Erlang in ${folder}`)
  const bin = join(root, runtime, 'bin')
  const libraries = ['usr/lib', 'lib'].flatMap((part) => [
    ...new Bun.Glob(`${part}/*-linux-gnu`).scanSync({ cwd: folder, onlyFiles: false, absolute: true }),
  ])
  return spawnBound({
    command: [
      join(bin, 'erlexec'),
      '-noinput',
      '+K',
      'true',
      '+P',
      '250000',
      '-mnesia',
      'dir',
      `"${directory}/db"`,
      '-s',
      'ejabberd',
    ],
    env: {
      ...{ PATH: process.env.PATH ?? '/usr/bin:/bin', HOME: directory, LC_ALL: 'C.UTF-8' },
      ...{ ROOTDIR: root, BINDIR: bin, EMU: 'beam', PROGNAME: 'erl', ERL_MAX_PORTS: '32000' },
      ...{ ERL_LIBS: libraries.join(':'), LD_LIBRARY_PATH: libraries.join(':') },
      ERL_CRASH_DUMP: join(directory, 'crash'),
      EJABBERD_CONFIG_PATH: join(directory, 'ejabberd.yml'),
      EJABBERD_LOG_PATH: join(directory, 'ejabberd.log'),
    },
    deathSignal: 'SIGKILL',
  })
}
