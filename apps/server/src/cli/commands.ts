import { createLogger } from '@conntext/kernel'
import manifest from '../../package.json'
import type { Given, Usage } from './arguments.ts'
import type { Finding } from './doctor/finding.ts'
import type { Place } from './place.ts'

// Each loads what it takes when it is run: most of them need a tenth of it, and whoever asks for help nothing at all.
const audit = () => import('./audit.ts')
const auditTrail = () => import('./audit-trail.ts')
const backups = () => import('./backup/create.ts')
const keys = () => import('./keys.ts')
const maintenance = () => import('./maintenance.ts')
const users = () => import('./users.ts')

export const say = (line: string) => console.error(`conntext: ${line}`)
const log = createLogger({ service: 'command', level: 'error', write: (line) => void process.stderr.write(line) })

/** Answers the exit code. */
type Command = Usage & { run(given: Given): Promise<number> }

/** What is done to a server's data; it may answer an exit code. */
const at =
  (run: (place: Place, given: Given) => Promise<unknown>) =>
  async (given: Given): Promise<number> => {
    const { openPlace } = await import('./place.ts')
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
  const { render } = await import('./doctor/finding.ts')
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
  status: {
    operands: [],
    async run() {
      const [{ loadConfig }, { tellStatus }] = await Promise.all([import('../config.ts'), import('./status.ts')])
      return tellStatus(loadConfig(process.env), console.log)
    },
  },
  doctor: {
    operands: [],
    run: async () => tell((await import('./doctor/examine.ts')).examine(process.env)),
  },
  'doctor voice': {
    operands: [],
    run: async () => tell(await (await import('./doctor/voice.ts')).examineVoiceOf(process.env)),
  },
  migrate: {
    operands: [],
    async run() {
      const { migrate } = await import('./migrate.ts')
      await migrate(process.env, { say, log })
      return 0
    },
  },
  'config print': {
    operands: [],
    async run() {
      const { printSettings } = await import('./settings.ts')
      console.log(printSettings(process.env).join('\n'))
      return 0
    },
  },
  'users list': {
    operands: [],
    run: at(async (place) => {
      const { listUsers } = await users()
      for await (const line of listUsers(place, log)) console.log(line)
    }),
  },
  'users reset-password': {
    operands: ['USERNAME'],
    run: at(async (place, { operands }) => {
      const { resetPassword } = await users()
      const { token, said } = await resetPassword(place, operands[0]!, log)
      say(said)
      console.log(token)
    }),
  },
  'users disable-mfa': {
    operands: ['USERNAME'],
    run: at(async (place, { operands }) => say(await (await users()).disableMfa(place, operands[0]!, log))),
  },
  'maintenance on': {
    operands: [],
    options: ['message', 'until'],
    run: at(async (place, { options }) => say(await (await maintenance()).beginMaintenance(place, options))),
  },
  'maintenance off': {
    operands: [],
    run: at(async (place) => say(await (await maintenance()).endMaintenance(place))),
  },
  'clock confirm': {
    operands: [],
    run: at(async (place) => say(await (await import('./clock.ts')).confirmClock(place))),
  },
  'keys list': {
    operands: [],
    run: at(async (place) => console.log((await (await keys()).listKeys(place)).join('\n'))),
  },
  'audit checkpoint': {
    operands: [],
    run: at(async (place) => void process.stdout.write(await (await audit()).printCheckpoint(place))),
  },
  'audit verify': {
    operands: [],
    options: ['against', 'from', 'to'],
    run: at(async (place, { options }) => {
      const { verifyAudit } = await audit()
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
      const { exportAudit, serverOf } = await auditTrail()
      say(await exportAudit(serverOf(process.env, options), options))
      return 0
    },
  },
  'audit tail': {
    operands: [],
    options: ['format', 'action', 'url'],
    async run({ options }) {
      const { serverOf, tailAudit } = await auditTrail()
      await tailAudit(serverOf(process.env, options), options)
      return 0
    },
  },
  'backup create': {
    operands: [],
    flags: ['logs'],
    options: ['to'],
    run: at(async (place, { flags, options }) => {
      const { createBackup } = await backups()
      const { name, said } = await createBackup(place, { logs: flags.logs, to: options.to }, log)
      say(said)
      console.log(name)
    }),
  },
  'backup list': {
    operands: [],
    run: at(async (place) => {
      const { listBackups } = await backups()
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
      const { verify } = await import('./backup/verify.ts')
      const lines = await verify(operands[0]!, { ...options, deep: flags.deep }, { log, say })
      console.log(lines.join('\n'))
      return 0
    },
  },
  'backup restore': {
    operands: ['BACKUP'],
    options: ['identity', 'master-key'],
    async run({ operands, options }) {
      const { restore } = await import('./backup/restore.ts')
      say(await restore(operands[0]!, options, { log, say }))
      return 0
    },
  },
  'backup key': {
    operands: [],
    async run() {
      const { newBackupIdentity } = await import('@conntext/backup')
      const { identity, recipient } = await newBackupIdentity()
      say('keep the identity apart from the server, and set CONNTEXT_BACKUP_RECIPIENTS to the recipient')
      console.log(`# recipient: ${recipient}\n${identity}`)
      return 0
    },
  },
  'keys rotate': {
    operands: [],
    flags: ['master', 'signing', 'audit'],
    run: at(async (place, { flags }) => (await keys()).rotateKeys(place, flags, { log, say })),
  },
  'media check': {
    operands: [],
    flags: ['repair'],
    run: at(async (place, { flags }) =>
      console.log((await (await import('./media.ts')).checkFiles(place, flags)).join('\n')),
    ),
  },
}
