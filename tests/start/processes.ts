import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** A process of this machine; `started` tells it from a later one with the same number. */
export type Process = { pid: number; parent: number; started: string; command: string }

/** Every process that /proc tells of. */
function processes(): Process[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => read(Number(pid)) ?? [])
}

function read(pid: number): Process | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The command's name stands in parentheses and may hold any character.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    // One that has ended and is only not yet collected.
    if (fields[0] === 'Z') return undefined
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
    return { pid, parent: Number(fields[1]), started: fields[19]!, command }
  } catch {
    return undefined
  }
}

/** A process and all that it has started, directly or not. */
export function treeOf(pid: number): Process[] {
  const all = processes()
  const children = (parent: number): Process[] =>
    all.filter((one) => one.parent === parent).flatMap((one) => [one, ...children(one.pid)])
  return [...all.filter((one) => one.pid === pid), ...children(pid)]
}

/** Those that still run. */
export const aliveOf = (family: Process[]): Process[] =>
  family.filter(({ pid, started }) => read(pid)?.started === started)

/** Those that have to do with a directory: by their command or by where they work. */
export const processesUnder = (directory: string): Process[] =>
  processes().filter(({ pid, command }) => command.includes(directory) || workingDirectory(pid).startsWith(directory))

function workingDirectory(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`)
  } catch {
    return ''
  }
}
