import { Fields } from '../api/common.ts'
import { accessRefused, declare, refusalsSummed, text } from './declare.ts'

/** What realtime records. */
export const realtimeActions = declare('realtime', {
  'voice.muted': { title: 'Somebody was muted in a call', target: 'user', data: Fields({ channelId: text }) },
  'voice.unmuted': { title: 'Somebody was unmuted in a call', target: 'user', data: Fields({ channelId: text }) },
  'voice.deafened': { title: 'Somebody was deafened in a call', target: 'user', data: Fields({ channelId: text }) },
  'voice.undeafened': {
    title: 'Somebody was undeafened in a call',
    target: 'user',
    data: Fields({ channelId: text }),
  },
  'voice.moved': {
    title: 'Somebody was moved to another call',
    target: 'user',
    data: Fields({ channelId: text, to: text }),
  },
  'voice.disconnected': {
    title: 'Somebody was disconnected from a call',
    target: 'user',
    data: Fields({ channelId: text }),
    severity: 'notice',
  },
  'access.refused': accessRefused,
  'refusals.summed': refusalsSummed,
})
