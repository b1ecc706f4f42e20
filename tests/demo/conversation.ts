import { eventually, SETUP_CODE, startServerProcess } from '@conntext/testing'
import { corpus } from '../conversation/corpus.ts'
import { gather } from '../conversation/people.ts'
import {
  auditTrail,
  checkHistory,
  checkReceived,
  converse,
  EXPECTED_TRAIL,
  editAndDelete,
  exchangeFile,
  hold,
  received,
  wholeHistory,
} from '../conversation/scenario.ts'
import type { Say } from './say.ts'

/** Two people, a conversation in every script of the world, a file, an audit trail, a killed server. */
export async function demoConversation(say: Say): Promise<void> {
  say('starting a server on new data')
  await using server = await startServerProcess({
    CONNTEXT_RATE_MESSAGES: '0',
    CONNTEXT_RATE_FRAMES: '0',
  })
  const { owner, member, channel } = await gather(server.url, SETUP_CODE)
  say(`${owner.name} owns the server and has invited ${member.name}; both are connected`)

  const texts = await corpus()
  const started = performance.now()
  const acknowledged = await converse([owner, member], channel.id, texts)
  await eventually(() => [owner, member].every((who) => received(who, channel.id).length >= texts.length), 60_000)
  checkReceived(owner, channel.id, acknowledged)
  checkReceived(member, channel.id, acknowledged)
  const rate = Math.round(texts.length / ((performance.now() - started) / 1000))
  say(`${texts.length} messages in every language of the Declaration of Human Rights, naughty strings and emoji: each`)
  say(`reached the other once, in order, byte for byte (${rate} messages/s, both sides checked)`)

  checkHistory(await wholeHistory(member, channel.id), acknowledged)
  say('history, read page by page, is the same')

  acknowledged.push(await exchangeFile(member, owner, channel.id, 40_000_000))
  say('a file of 40 MB went up in one request and came back in Ranges with the same SHA-256')

  await editAndDelete(member, owner, channel.id)
  for (const [action, atLeast] of Object.entries(EXPECTED_TRAIL)) {
    await eventually(async () => (await auditTrail(owner, action)).length >= atLeast)
  }
  say(`the audit trail has all of it: ${Object.keys(EXPECTED_TRAIL).join(', ')}`)

  const before = received(owner, channel.id).length
  const numbers = Array.from({ length: 2_000 }, (_, i) => `number ${i}`)
  const sending = converse([owner, member], channel.id, numbers)
  await eventually(() => received(owner, channel.id).length > before + 200)
  await server.kill('SIGKILL')
  say('the server was killed with -9 in the middle of sending')
  await server.restart()
  say('it is back; so are the clients, by themselves')
  acknowledged.push(...(await sending))
  const history = await wholeHistory(owner, channel.id)
  checkHistory(history, acknowledged)
  const counted = history.filter((message) => message.content.startsWith('number '))
  hold(counted.length === numbers.length, `${counted.length} of ${numbers.length} numbers are in history`)
  await eventually(() => [owner, member].every((who) => who.events.at(-1)?.seq === history.at(-1)!.seq), 30_000)
  checkReceived(owner, channel.id, acknowledged)
  checkReceived(member, channel.id, acknowledged)
  say(`all ${acknowledged.length} acknowledged messages are there, once, in order; nobody missed or got one twice`)
  owner.gateway.close()
  member.gateway.close()
}
