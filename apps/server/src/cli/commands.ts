import { newBackupIdentity } from '@conntext/backup'
import { createLogger } from '@conntext/kernel'
import manifest from '../../package.json'
import { loadConfig } from '../config.ts'
import type { Given, Usage } from './arguments.ts'
import { printCheckpoint, verifyAudit } from './audit.ts'
import { exportAudit, serverOf, tailAudit } from './audit-trail.ts'
import { createBackup, listBackups } from './backup/create.ts'
import { restore } from './backup/restore.ts'
import { verify } from './backup/verify.ts'
import { confirmClock } from './clock.ts'
import { examine } from './doctor/examine.ts'
import { type Finding, render } from './doctor/finding.ts'
import { examineVoiceOf } from './doctor/voice.ts'
import { listKeys, rotateKeys } from './keys.ts'
import { beginMaintenance, endMaintenance } from './maintenance.ts'
import { checkFiles } from './media.ts'
import { migrate } from './migrate.ts'
import { openPlace, type Place } from './place.ts'
import { printSettings } from './settings.ts'
import { tellStatus } from './status.ts'
import { disableMfa, listUsers, resetPassword } from './users.ts'

export const say = (line: string) => console.error(`conntext: ${line}`)
const log = createLogger({ service: 'command', level: 'error', write: (line) => void process.stderr.write(line) })

/** Answers the exit code. */
type Command = Usage & { run(given: Given): Promise<number> }

/** What is done to a server's data; it may answer an exit code. */
const at =
  (run: (place: Place, given: Given) => Promise<unknown>) =>
  async (given: Given): Promise<number> => {
    const place = await openPlace(process.env)
    try {
      const code = await run(place, given)
      return typeof code === 'number' ? code : 0
    } finally {
      await place.close()
    }
  }

/** Says what was found as it comes; answers 0 where there is no fault. */
async function tell(findings: Iterable<Finding> | AsyncIterable<Finding>): Promise<number> {
  let faults = 0
  for await (const finding of findings) {
    console.log(render(finding))
    if (finding.state === 'fault') faults += 1
  }
  say(faults === 0 ? 'nothing is in the way' : `${faults} to be mended`)
  return faults === 0 ? 0 : 1
}

export const commands: Record<string, Command> = {
  // It ends with a signal, not with its own code.
  start: { operands: [], run: () => import('../main.ts').then(() => new Promise<never>(() => {})) },
  version: {
    operands: [],
    async run() {
      console.log(manifest.version)
      return 0
    },
  },
  status: { operands: [], run: () => tellStatus(loadConfig(process.env), console.log) },
  doctor: {
    operands: [],
    run: () => tell(examine(process.env)),
  },
  'doctor voice': {
    operands: [],
    run: async () => tell(await examineVoiceOf(process.env)),
  },
  migrate: {
    operands: [],
    run: async () => {
      await migrate(process.env, { say, log })
      return 0
    },
  },
  'config print': {
    operands: [],
    async run() {
      console.log(printSettings(process.env).join('\n'))
      return 0
    },
  },
  'users list': {
    operands: [],
    run: at(async (place) => {
      for await (const line of listUsers(place, log)) console.log(line)
    }),
  },
  'users reset-password': {
    operands: ['USERNAME'],
    run: at(async (place, { operands }) => {
      const { token, said } = await resetPassword(place, operands[0]!, log)
      say(said)
      console.log(token)
    }),
  },
  'users disable-mfa': {
    operands: ['USERNAME'],
    run: at(async (place, { operands }) => say(await disableMfa(place, operands[0]!, log))),
  },
  'maintenance on': {
    operands: [],
    options: ['message', 'until'],
    run: at(async (place, { options }) => say(await beginMaintenance(place, options))),
  },
  'maintenance off': {
    operands: [],
    run: at(async (place) => say(await endMaintenance(place))),
  },
  'clock confirm': {
    operands: [],
    run: at(async (place) => say(await confirmClock(place))),
  },
  'keys list': {
    operands: [],
    run: at(async (place) => console.log((await listKeys(place)).join('\n'))),
  },
  'audit checkpoint': {
    operands: [],
    run: at(async (place) => void process.stdout.write(await printCheckpoint(place))),
  },
  'audit verify': {
    operands: [],
    options: ['against', 'from', 'to'],
    run: at(async (place, { options }) => {
      const { intact, lines, said } = await verifyAudit(place, options, log)
      for (const line of lines) console.log(line)
      say(said)
      return intact ? 0 : 3
    }),
  },
  'audit export': {
    operands: [],
    options: ['to', 'format', 'from', 'until', 'action', 'url'],
    async run({ options }) {
      say(await exportAudit(serverOf(process.env, options), options))
      return 0
    },
  },
  'audit tail': {
    operands: [],
    options: ['format', 'action', 'url'],
    async run({ options }) {
      await tailAudit(serverOf(process.env, options), options)
      return 0
    },
  },
  'backup create': {
    operands: [],
    flags: ['logs'],
    options: ['to'],
    run: at(async (place, { flags, options }) => {
      const { name, said } = await createBackup(place, { logs: flags.logs, to: options.to }, log)
      say(said)
      console.log(name)
    }),
  },
  'backup list': {
    operands: [],
    run: at(async (place) => {
      let isAny = false
      for await (const line of listBackups(place)) {
        console.log(line)
        isAny = true
      }
      if (!isAny) say('there is no backup')
    }),
  },
  'backup verify': {
    operands: ['BACKUP'],
    flags: ['deep'],
    options: ['identity', 'master-key'],
    async run({ operands, flags, options }) {
      const lines = await verify(operands[0]!, { ...options, deep: flags.deep }, { log, say })
      console.log(lines.join('\n'))
      return 0
    },
  },
  'backup restore': {
    operands: ['BACKUP'],
    options: ['identity', 'master-key'],
    async run({ operands, options }) {
      say(await restore(operands[0]!, options, { log, say }))
      return 0
    },
  },
  'backup key': {
    operands: [],
    async run() {
      const { identity, recipient } = await newBackupIdentity()
      say('keep the identity apart from the server, and set CONNTEXT_BACKUP_RECIPIENTS to the recipient')
      console.log(`# recipient: ${recipient}\n${identity}`)
      return 0
    },
  },
  'keys rotate': {
    operands: [],
    flags: ['master', 'signing', 'audit'],
    run: at((place, { flags }) => rotateKeys(place, flags, { log, say })),
  },
  'media check': {
    operands: [],
    flags: ['repair'],
    run: at(async (place, { flags }) => console.log((await checkFiles(place, flags)).join('\n'))),
  },
}
