import { newBackupIdentity } from '@conntext/backup'
import { createLogger } from '@conntext/kernel'
import { loadConfig } from '../config.ts'
import type { Given, Usage } from './arguments.ts'
import { printCheckpoint, verifyAudit } from './audit.ts'
import { createBackup, listBackups } from './backup/create.ts'
import { restore } from './backup/restore.ts'
import { verify } from './backup/verify.ts'
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

export const HELP = `conntext COMMAND

  start                              runs the server, as npm start does
  status                             whether the server runs and is ready, and what of it is not
  doctor                             looks at all that the server needs, and says what to do
  doctor voice                       looks at ports, NAT, addresses and relays: whether calls get to the server
  config print                       the settings in force, with secrets hidden
  users list                         the accounts, and how they stand
  users reset-password USERNAME      prints a single-use token that sets a new password
  users disable-mfa USERNAME         removes the authenticator app, passkeys and recovery codes
  migrate                            makes the databases, schemas and users of a split deployment, or brings
                                     them up to date (docs/operations.md)
  audit checkpoint                   prints what the audit log is now, signed: to be kept elsewhere
  audit verify [--against FILE] [--from N] [--to N]
                                     compares all that is stored of the audit log with what was signed
      --against FILE                 and with the checkpoints in it, which were kept elsewhere
      --from N, --to N               only these batches, by their numbers or the times at which they were made
  maintenance on [--message TEXT] [--until TIME]
                                     nobody but administrators changes anything from now on; all can be read
      --message TEXT                 what members are told
      --until TIME                   when it is expected to be over
  maintenance off                    ends it
  backup create [--to FILE] [--logs] has a backup made, by the running server or, where none runs, by this command
      --to FILE                      and copies it there
      --logs                         with what the services have logged
  backup list                        the backups: when they were made, and what they hold
  backup verify BACKUP [--identity FILE] [--deep] [--master-key FILE]
                                     reads all of a backup, a file or one of the list, and compares it with its hashes
      --identity FILE                what opens it, where it is not CONNTEXT_BACKUP_PASSPHRASE
      --deep                         restores it for the trial, and verifies the audit log in it
  backup restore BACKUP [--identity FILE] [--master-key FILE]
                                     fills an empty server with what is in a backup
      --master-key FILE              the master key that was in force, where it is not in its place yet
  backup key                         makes a key pair: backups for its recipient are opened by its identity
  keys list                          the keys: their age, and how many values each still opens
  keys rotate [--signing] [--master] [--audit]
                                     seals all that is sealed under new keys, while the server goes on
      --signing                      and has access tokens signed by a new key
      --master                       and wraps the keys under a new master key
      --audit                        and has the audit log signed by a new key
  media check [--repair]             compares the database with the files that are stored
      --repair                       and brings them together
  help                               prints this

The server is the one whose data is in CONNTEXT_DATA (./data), be it running or not; or the split deployment whose
Postgres CONNTEXT_POSTGRES_ADMIN_URL names.`

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
      for await (const line of listBackups(place)) console.log(line)
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
