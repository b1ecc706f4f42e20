import type { Bus } from '@conntext/bus'
import { type CallReport, type Conversation, subjects } from '@conntext/contracts'
import { AppError, newId } from '@conntext/kernel'
import type { RealtimeDeps } from '../../src/service.ts'

const NOW = '2026-01-01T00:00:00.000Z'

/** Messaging as far as a node asks it: who shares which conversation, and what it is told of calls. */
export function fakeMessaging(bus: Bus) {
  const conversations = new Map<string, Conversation>()
  const blocked = new Set<string>()
  const told: CallReport[] = []
  const state = { away: false, refused: 0 }
  const attend = () => {
    if (state.away) state.refused += 1
    if (state.away) throw new AppError('dependency.away', 503, 'away')
  }
  const port: RealtimeDeps['messaging'] = {
    async conversation({ channelId }) {
      attend()
      const conversation = conversations.get(channelId)
      return conversation ? { version: 1, conversation } : null
    },
    async assertAccepted({ channelId }) {
      attend()
      if (blocked.has(channelId)) throw new AppError('conversation.notAccepted', 403, 'Not accepted')
      return {}
    },
    async recordCalls({ reports }) {
      attend()
      told.push(...reports)
      return {}
    },
  }
  return {
    port,
    told,
    state,
    /** A conversation of these people. */
    conversation(userIds: string[]): Conversation {
      const participants = userIds.map((userId) => ({ userId, joinedAt: NOW, deliveredSeq: 0, readSeq: 0 }))
      const conversation: Conversation = {
        ...{ id: newId(), kind: userIds.length > 2 ? 'group' : 'oneToOne', name: null, ownerId: null, participants },
        ...{ lastSeq: 0, createdAt: NOW, activeAt: NOW },
      }
      conversations.set(conversation.id, conversation)
      return conversation
    },
    /** Takes somebody out of it, or the two of it apart, and says so. */
    async change({ id }: Conversation, change: { without?: string; blocks?: boolean }) {
      const before = conversations.get(id)!
      const participants = before.participants.filter(({ userId }) => userId !== change.without)
      const conversation = { ...before, participants }
      conversations.set(id, conversation)
      if (change.blocks) blocked.add(id)
      await bus.publish(subjects.conversations, JSON.stringify({ version: 2, conversation }))
    },
  }
}
