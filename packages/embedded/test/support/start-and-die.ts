// Starts what may not outlive it, and is killed before that can have begun. Argument: how long that would sleep, in seconds.
import { spawnBound } from '../../src/bound-process.ts'

spawnBound({ command: ['sleep', process.argv[2]!], env: { PATH: process.env.PATH! }, deathSignal: 'SIGKILL' })
process.kill(process.pid, 'SIGKILL')
