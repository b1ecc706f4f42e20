import { root } from './root.ts'

export interface GroupOptions {
  env?: Record<string, string | undefined>
  stdio: ['ignore', 'inherit' | number, 'inherit' | number]
  /** Ends the group: politely, then by force. */
  signal?: AbortSignal | undefined
}

const patienceMs = 5000

/**
 * Runs a command at the repository's root in a process group of its own and answers its exit code. Launchers such
 * as Turborepo's don't pass signals on; a group gets them whole.
 */
export async function runGroup(command: string[], { signal, ...options }: GroupOptions): Promise<number> {
  const child = Bun.spawn(command, { cwd: root, detached: true, ...options })
  let force: ReturnType<typeof setTimeout> | undefined
  const stop = () => {
    killGroup(child.pid, 'SIGTERM')
    force = setTimeout(() => killGroup(child.pid, 'SIGKILL'), patienceMs)
  }
  signal?.addEventListener('abort', stop)
  if (signal?.aborted) stop()
  const code = await child.exited
  signal?.removeEventListener('abort', stop)
  clearTimeout(force)
  return code
}

function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch {
    // Nobody is left in it.
  }
}
