import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '@conntext/embedded'
import { type BoundProcess, spawnBound } from '@conntext/embedded/bound-process'
import { randomToken } from '@conntext/kernel'
import { type Ceph, cephEnvironment } from './locate.ts'

export interface S3Server {
  endpoint: string
  accessKey: string
  secretKey: string
}

const readyMs = 90_000
const attempts = 3

/**
 * Starts Ceph's S3 server with a monitor and one store in memory, on loopback, in a folder that is thrown away. Its
 * processes end when ours does, kill -9 included.
 */
export async function startRadosgw(ceph: Ceph): Promise<S3Server & { stop(): Promise<void> }> {
  for (let attempt = 1; ; attempt++) {
    const cluster = new Cluster(ceph, await mkdtemp(join(tmpdir(), 'conntext-radosgw-')))
    try {
      return { ...(await cluster.start()), stop: () => cluster.stop() }
    } catch (error) {
      await cluster.stop()
      // A port that was free may have been taken before they got to it.
      if (attempt === attempts) throw error
    }
  }
}

class Cluster {
  readonly #running: BoundProcess[] = []
  readonly #env: Record<string, string>

  constructor(
    private readonly ceph: Ceph,
    private readonly directory: string,
  ) {
    this.#env = cephEnvironment(ceph, { CEPH_CONF: join(directory, 'ceph.conf') })
    removeAfterwards(directory)
  }

  async start(): Promise<S3Server> {
    const { directory } = this
    const [monitor, gateway] = [await freePort(), await freePort()]
    const fsid = crypto.randomUUID()
    for (const name of ['mon', 'osd', 'log']) await mkdir(join(directory, name))
    await writeFile(join(directory, 'ceph.conf'), configuration(this.ceph, directory, { fsid, monitor, gateway }))
    const [monmap, osdmap] = [join(directory, 'monmap'), join(directory, 'osdmap')]
    await this.#run('monmaptool', '--create', '--fsid', fsid, '--addv', 'a', `[v1:127.0.0.1:${monitor}]`, monmap)
    await this.#run('osdmaptool', '--createsimple', '1', osdmap)
    await this.#run('ceph-mon', '--mkfs', '-i', 'a', '--monmap', monmap, '--osdmap', osdmap)
    const uuid = crypto.randomUUID()
    await this.#run('ceph-osd', '-i', '0', '--mkfs', '--osd-uuid', uuid, '--no-mon-config', '--monmap', monmap)
    this.#serve('ceph-mon', '-f', '-i', 'a')
    this.#serve('ceph-osd', '-f', '-i', '0')
    this.#serve('radosgw', '-f', '-n', 'client.rgw')
    const endpoint = `http://127.0.0.1:${gateway}`
    await this.#answering(endpoint)
    const [accessKey, secretKey] = [randomToken(), randomToken()]
    const keys = [`--access-key=${accessKey}`, `--secret-key=${secretKey}`]
    await this.#run('radosgw-admin', 'user', 'create', '--uid=test', '--display-name=test', ...keys)
    return { endpoint, accessKey, secretKey }
  }

  async stop(): Promise<void> {
    // Nothing of it is kept: no need to do it in order.
    for (const child of this.#running.splice(0)) await child.end([{ signal: 'SIGKILL', ms: 5000 }])
    await rm(this.directory, { recursive: true, force: true })
  }

  #spawn(program: string, ...args: string[]): BoundProcess {
    const command = [join(this.ceph.folder, 'usr/bin', program), ...args]
    return spawnBound({ command, env: this.#env, deathSignal: 'SIGKILL' })
  }

  #serve(program: string, ...args: string[]): void {
    this.#running.push(this.#spawn(program, ...args))
  }

  async #run(program: string, ...args: string[]): Promise<void> {
    const child = this.#spawn(program, ...args)
    const { code, signal } = await child.exited
    if (code !== 0) throw new Error(`${program} ended with ${code ?? signal}: ${child.recentLines()}`)
  }

  async #answering(endpoint: string): Promise<void> {
    const ended = Promise.race(this.#running.map((child) => child.exited.then(() => child.recentLines())))
    const deadline = Date.now() + readyMs
    while (Date.now() < deadline) {
      if ((await fetch(endpoint).catch(() => undefined))?.ok) return
      const lines = await Promise.race([ended, Bun.sleep(50)])
      if (lines !== undefined) throw new Error(`a process of the object store ended: ${lines}`)
    }
    throw new Error(`the object store did not answer within ${readyMs / 1000} s`)
  }
}

// Waits for this process's end, however it comes (the pipe closes): the processes have ended with it.
const remove = 'cat >/dev/null; sleep 1; rm -rf "$1"'

/** Removes the directory once this process is gone: `bun test` runs no exit handlers. */
function removeAfterwards(directory: string): void {
  Bun.spawn(['/bin/sh', '-c', remove, 'sh', directory], { stdio: ['pipe', 'ignore', 'ignore'], detached: true }).unref()
}

type Ports = { fsid: string; monitor: number; gateway: number }

/** One of everything, no authentication within, and no waiting for peers that don't exist. */
function configuration({ plugins, classes }: Ceph, directory: string, { fsid, monitor, gateway }: Ports): string {
  return `[global]
fsid = ${fsid}
mon host = v1:127.0.0.1:${monitor}
public network = 127.0.0.0/8
ms bind msgr2 = false
auth cluster required = none
auth service required = none
auth client required = none
auth allow insecure global id reclaim = true
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data avail crit = 0
mon cluster log to file = false
admin socket =
pid file =
log file = ${directory}/log/$name.log
crash dir = ${directory}/log
plugin dir = ${plugins}
erasure code dir = ${plugins}/erasure-code
osd class dir = ${classes}
osd class load list = *
osd class default list = *
osd objectstore = memstore
memstore device bytes = 4294967296
# By default it takes a second for each of the dozen changes until it is ready.
paxos propose interval = 0.02
paxos min wait = 0.01
mon tick interval = 1
mon subscribe interval = 1
osd tick interval = 0.2
# Deleted objects give their memory back soon.
rgw gc obj min wait = 60
rgw gc processor period = 60
rgw gc processor max time = 60
[mon.a]
mon data = ${directory}/mon
# With it they know the cluster from the start: what they ask before they have heard of it is refused.
[osd.0]
monmap = ${directory}/monmap
osd data = ${directory}/osd
public addr = 127.0.0.1
cluster addr = 127.0.0.1
[client.rgw]
monmap = ${directory}/monmap
rgw frontends = beast endpoint=127.0.0.1:${gateway}
rgw thread pool size = 64
`
}
