const HELP = `conntext COMMAND

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
  audit verify [--against PATH] [--from N] [--to N]
                                     compares all that is stored of the audit log with what was signed
      --against PATH                 and with checkpoints that were kept elsewhere, in a file or a directory
      --from N, --to N               only these batches, by their numbers or the times at which they were made
  audit export [--to FILE] [--format FORMAT] [--from TIME] [--until TIME] [--action ACTIONS] [--url URL]
                                     writes the audit trail, oldest first, with the API token in CONNTEXT_TOKEN
      --to FILE                      to a new file, rather than to standard output
      --format FORMAT                as ndjson, which it is unless told, csv or parquet
      --from TIME, --until TIME      only what happened between these
      --action ACTIONS               only these: member.banned, or member.*; several after commas
      --url URL                      from the server there, rather than the one of this machine
  audit tail [--format ndjson] [--action ACTIONS] [--url URL]
                                     prints each event of the audit trail as it is stored, until interrupted
  maintenance on [--message TEXT] [--until TIME]
                                     nobody but administrators changes anything from now on; all can be read
      --message TEXT                 what members are told
      --until TIME                   when it is expected to be over
  maintenance off                    ends it
  clock confirm                      says that this machine's clock is right, where the server doubts it and keeps what
                                     would expire
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
  version                            prints which version this is
  help [COMMAND]                     prints this, or what there is to say of one command

The server is the one whose data is in CONNTEXT_DATA (./data), be it running or not; or the split deployment whose
Postgres CONNTEXT_POSTGRES_ADMIN_URL names.`

/** What is told of the commands that begin with a word, such as `users`; of all of them where none does, or without one. */
export const helpOf = (word?: string): string => commandsOf(word) ?? HELP

/** What helps after a command that was given wrongly, short enough for what was wrong to stay in sight. */
export function hintAt(word?: string): string {
  if (word === undefined) return HELP
  const rest = '"conntext help" tells all there is.'
  const commands = commandsOf(word)
  return commands ? `${commands}\n\n${rest}` : rest
}

/** A command's lines begin with the one that is set in by two; those that are set in deeper are its own. */
function commandsOf(word: string | undefined): string | undefined {
  const entries = HELP.split(/\n(?= {2}\S)/).slice(1)
  const found = entries.filter((entry) => entry.slice(2).split(/\s/, 1)[0] === word)
  return found.length > 0 ? found.map((entry) => entry.split('\n\n')[0]).join('\n') : undefined
}
