// Bun takes it from the environment, when it starts, and nowhere else.
const SETTING = 'BUN_CONFIG_MAX_HTTP_REQUESTS'
const MOST = '16384'

/**
 * Begins the process anew, as the same one, where it could make no more than Bun's 256 requests at once: what more is
 * asked would wait for one of them to end, the calls between the services among it, and slow uploads end late. Whoever
 * starts processes gives the setting along, so that they need not begin twice.
 */
export function allowManyRequests(): void {
  if (process.env[SETTING] !== undefined || process.execve === undefined) return
  const { execPath, execArgv, argv, env } = process
  process.execve(execPath, [execPath, ...execArgv, ...argv.slice(1)], { ...env, [SETTING]: MOST } as NodeJS.ProcessEnv)
}
