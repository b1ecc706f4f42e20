import { expect, test } from 'bun:test'
import { fileURLToPath } from 'node:url'

const HANGING = fileURLToPath(new URL('support/hanging.ts', import.meta.url))

test('hundreds of requests that hang keep none of the others from being made', () => {
  const { BUN_CONFIG_MAX_HTTP_REQUESTS: _, ...env } = process.env
  const { stdout } = Bun.spawnSync([process.execPath, HANGING, 'as', 'before'], { env })
  expect(stdout.toString()).toBe('answered as,before\n')
})
