import { afterAll, beforeAll, expect, test } from 'bun:test'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A server that says what reaches it and takes a moment to end, as a real one does. */
const server = `
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      console.log(signal)
      setTimeout(() => process.exit(7), 200)
    })
  }
  setInterval(() => {}, 1000)
  console.log('up', process.pid, ...process.argv.slice(2))
`

let folder = ''

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'conntext-bootstrap-'))
  for (const file of ['bootstrap.mjs', 'lifeline.ts']) {
    await cp(join(import.meta.dir, '..', file), join(folder, 'tools', file))
  }
  const manifest = { name: 'made-up', packageManager: `bun@${Bun.version}`, workspaces: { packages: ['apps/*'] } }
  await Bun.write(join(folder, 'package.json'), JSON.stringify(manifest))
  await Bun.write(join(folder, 'apps/server/package.json'), JSON.stringify({ name: 'server', version: '1.0.0' }))
  await Bun.write(join(folder, 'apps/server/src/main.ts'), server)
  const lock = Bun.spawnSync([process.execPath, 'install', '--save-text-lockfile'], { cwd: folder })
  if (lock.exitCode !== 0) throw new Error(lock.stderr.toString())
})

afterAll(() => rm(folder, { recursive: true, force: true }))

function start(...args: string[]) {
  const child = Bun.spawn([process.execPath, 'tools/bootstrap.mjs', ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  const reading = (async () => {
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) output += chunk
  })()
  const up = async () => {
    while (!output.includes('up ')) await Bun.sleep(10)
    return Number(/up (\d+)/.exec(output)![1])
  }
  return { child, up, reading, lines: () => output.trim().split('\n') }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

test('arguments go in, the exit code comes out, and of Ctrl-C that arrives twice one is passed on', async () => {
  const { child, up, reading, lines } = start('start', '--port', '0')
  const pid = await up()
  child.kill('SIGINT')
  child.kill('SIGINT')
  expect(await child.exited).toBe(7)
  await reading
  expect(lines()).toEqual([`up ${pid} --port 0`, 'SIGINT'])
  expect(isAlive(pid)).toBe(false)
})

test('when it is killed with -9 the server shuts down in order', async () => {
  const { child, up, reading, lines } = start('start')
  const pid = await up()
  child.kill('SIGKILL')
  // Its output ends when the server does, which alone still holds the other end.
  await reading
  expect(lines()).toEqual([`up ${pid}`, 'SIGTERM'])
})

test('the second run installs nothing, and says nothing', async () => {
  const { child, up } = start('start')
  await up()
  child.kill('SIGTERM')
  await child.exited
  expect(await new Response(child.stderr).text()).toBe('')
})

test('an unknown command and a missing program are told in a line', async () => {
  for (const [command, message] of [
    ['stat', 'usage: bootstrap.mjs start|test'],
    ['demo', 'demo.ts does not exist'],
  ] as const) {
    const { child } = start(command)
    expect(await child.exited).toBe(1)
    expect(await new Response(child.stderr).text()).toContain(message)
  }
})
