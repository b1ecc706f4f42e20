import { expect, test } from 'bun:test'
import { eventually, processesWith, runScript } from './support/processes.ts'

test('what was just being started when its parent was killed is not left behind', async () => {
  const rounds = Array.from({ length: 12 }, (_, index) => `86400.${process.pid}${index}1`)
  for (const seconds of rounds) {
    await using script = runScript('start-and-die.ts', [seconds])
    expect(await script.exited).not.toBe(0)
  }
  const left = () => rounds.flatMap((seconds) => processesWith(`sleep ${seconds}`))
  try {
    // It takes a moment until they know that they are alone, or run for good.
    await eventually('all have ended', () => left().length === 0)
  } finally {
    for (const line of left()) process.kill(Number(line.trim().split(/\s+/)[1]), 'SIGKILL')
  }
}, 30_000)
