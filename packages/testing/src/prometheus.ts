import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { freePort } from '@conntext/embedded'
import { ProcessMember } from './stack/member.ts'
import { locateProgram, type Program } from './stack/programs.ts'

export type Prometheus = {
  url: string
  /** How many series an expression answers now. @throws where it is none */
  count(expression: string): Promise<number>
  /** What it asks, by its address, and how that went last. */
  targets(): Promise<{ scrapeUrl: string; health: string; lastError: string }[]>
  [Symbol.asyncDispose](): Promise<void>
}

/** Whether this machine has a Prometheus to test with; `npm test` gets Debian's. */
export const hasPrometheus = (): boolean => locateProgram('prometheus') !== undefined

function located(): Program {
  const found = locateProgram('prometheus')
  if (!found) throw new Error('there is no Prometheus on this machine')
  return found
}

/** Runs `promtool` in a folder; answers how it ended, and what it said. */
export async function promtool(folder: string, ...args: string[]): Promise<{ code: number; said: string }> {
  const { path, env } = located()
  const child = Bun.spawn([join(dirname(path), 'promtool'), ...args], {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
  return { code: await child.exited, said: out + err }
}

/** Starts one of the test's own. `configure` makes its configuration, given a folder for what else it reads. */
export async function startPrometheus(configure: (folder: string) => Promise<object>): Promise<Prometheus> {
  const { path, env } = located()
  const folder = await mkdtemp(join(tmpdir(), 'conntext-prometheus-'))
  const url = `http://127.0.0.1:${await freePort()}`
  const file = join(folder, 'prometheus.yml')
  // JSON is YAML.
  await writeFile(file, JSON.stringify(await configure(folder)))
  const member = new ProcessMember({
    ...{ name: 'prometheus', url, log: join(folder, 'log'), readyMs: 60_000, stopMs: 10_000, env },
    command: [
      path,
      `--config.file=${file}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=${new URL(url).host}`,
      '--log.level=warn',
    ],
    ready: () =>
      fetch(`${url}/-/ready`).then(
        ({ ok }) => ok,
        () => false,
      ),
  })
  await member.start()
  const ask = async <T>(address: string): Promise<T> => {
    const answer = await fetch(url + address)
    const { status, data, error } = (await answer.json()) as { status: string; data: T; error?: string }
    if (status !== 'success') throw new Error(`${address}: ${error}`)
    return data
  }
  return {
    url,
    async count(expression) {
      const query = new URLSearchParams({ query: expression })
      return (await ask<{ result: unknown[] }>(`/api/v1/query?${query}`)).result.length
    },
    targets: async () => (await ask<{ activeTargets: [] }>('/api/v1/targets')).activeTargets,
    async [Symbol.asyncDispose]() {
      await member.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
