import { Authority, type AuthoritySnapshot, type Channel, channelStream, SERVER_STREAM } from '@conntext/contracts'
import { toChannel } from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import type { Effects, Transaction } from '../change.ts'
import { selectChannels, selectOverrides } from './queries.ts'

/** Who may see what by the channels and overrides as the transaction has them now; the roles are the snapshot's. */
export async function authorityWithin(tx: Transaction, snapshot: AuthoritySnapshot): Promise<Authority> {
  const channels = (await selectChannels(tx)).map(toChannel)
  return new Authority({ ...snapshot, channels, overrides: await selectOverrides(tx) })
}

/**
 * Tells of new and changed channels, once the change is made: of those that everyone may see in the server's stream,
 * of the others in their own, which only those read who may see them.
 */
export function tellOf(
  effects: Effects,
  authority: Authority,
  type: 'channel.created' | 'channel.updated',
  channels: Channel[],
): void {
  for (const data of channels) {
    if (authority.isPublic(data.id)) {
      effects.events.push({ stream: SERVER_STREAM, type, data })
    } else {
      const id = newId()
      const append = { id, stream: channelStream(data.id), type, at: new Date().toISOString(), data }
      effects.owed.push({ id, topic: 'channelStream', payload: append })
    }
  }
}
