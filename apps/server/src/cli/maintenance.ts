import { operateMaintenance } from '@conntext/system/admin'
import { type Options, UsageError } from './arguments.ts'
import type { Place } from './place.ts'

const MAX_MESSAGE = 500

const heard = ({ running }: Place): string =>
  running ? 'The server learns of it within seconds.' : 'It is not running.'

/** Answers what there is to say. @throws UsageError, AppError */
export async function beginMaintenance(place: Place, { message, until }: Options): Promise<string> {
  if (message !== undefined && message.length > MAX_MESSAGE) {
    throw new UsageError(`--message takes ${MAX_MESSAGE} characters at most`)
  }
  const ends = until === undefined ? undefined : new Date(until)
  if (ends && !(ends.getTime() > Date.now())) {
    throw new UsageError('--until takes a time that lies ahead, such as 2030-03-01T12:00Z')
  }
  await operateMaintenance(place.db, { enabled: true, message: message ?? null, until: ends?.toISOString() ?? null })
  return `Nobody but administrators changes anything until \`conntext maintenance off\`. ${heard(place)}`
}

export async function endMaintenance(place: Place): Promise<string> {
  await operateMaintenance(place.db, { enabled: false })
  return `Everybody may change things again. ${heard(place)}`
}
