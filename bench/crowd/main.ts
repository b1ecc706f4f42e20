// A process of clients, so that neither the server that is measured nor what measures has to wait for them. It is asked
// over IPC, and ends with who started it.
import { Group } from './group.ts'
import type { Answer, Ask, Requests } from './protocol.ts'

const groups = new Map<string, Group>()

function groupOf({ group }: { group: string }): Group {
  const found = groups.get(group)
  if (!found) throw new Error(`there is no group ${group}`)
  return found
}

const { cpuUsage } = process
type Handlers = { [O in keyof Requests]: (ask: Requests[O]['ask']) => unknown }

const handlers: Handlers = {
  open(ask) {
    const group = new Group(ask)
    groups.set(ask.group, group)
    return group.open()
  },
  expect: (ask) => groupOf(ask).expect(ask),
  outcome: (ask) => groupOf(ask).outcome(),
  send: (ask) => groupOf(ask).send(ask),
  cut: (ask) => groupOf(ask).cut(),
  comeBack: (ask) => groupOf(ask).comeBack(ask),
  close(ask) {
    groupOf(ask).close()
    groups.delete(ask.group)
  },
  cpu: () => {
    const { user, system } = cpuUsage()
    return user + system
  },
}

process.on('disconnect', () => process.exit(0))
process.on('message', async ({ id, op, ask }: Ask) => {
  const answer = (more: Omit<Answer, 'id'>) => process.send!({ id, ...more } satisfies Answer)
  try {
    answer({ answer: await (handlers[op] as (ask: unknown) => unknown)(ask) })
  } catch (error) {
    answer({ error: error instanceof Error ? error.message : String(error) })
  }
})
