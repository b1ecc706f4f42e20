import { Type } from '@sinclair/typebox'
import { Fields } from '../api/common.ts'
import { accessRefused, changes, declare, None, names, refusalsSummed, repeats, text } from './declare.ts'

/** What messaging records. */
export const messagingActions = declare('messaging', {
  'message.deletedByModerator': {
    title: "Somebody else's message was deleted",
    target: 'message',
    data: Fields({ channelId: text, authorId: text }),
  },
  'messages.bulkDeleted': {
    title: 'Messages were deleted together',
    target: 'channel',
    data: Fields({ count: Type.Integer(), messageIds: names }),
    severity: 'notice',
  },
  'message.pinned': { title: 'A message was pinned', target: 'message', data: Fields({ channelId: text }) },
  'message.unpinned': {
    title: 'A message is no longer pinned',
    target: 'message',
    data: Fields({ channelId: text }),
  },
  'reaction.removedByModerator': {
    title: "Somebody else's reaction was removed",
    target: 'message',
    data: Fields({ channelId: text, userId: text }),
  },
  'reactions.clearedByModerator': {
    title: 'All reactions to a message were removed',
    target: 'message',
    data: Fields({ channelId: text, count: Type.Integer() }),
  },
  'messages.deletedByModerator': {
    title: "Somebody's recent messages were deleted with their ban",
    target: 'user',
    data: Fields({ since: text, count: Type.Integer() }),
    severity: 'notice',
  },
  'messages.deletedWithAccount': {
    title: 'The messages of a deleted account were deleted, as its owner wished',
    target: 'user',
    data: Fields({ count: Type.Integer() }),
  },
  'webhook.created': {
    title: 'A webhook was made',
    target: 'webhook',
    data: Fields({ channelId: text, name: text, mentionEveryone: Type.Boolean() }),
  },
  'webhook.updated': {
    title: 'A webhook was changed',
    target: 'webhook',
    data: Fields({ channelId: text, ...changes.properties }),
  },
  'webhook.secretRotated': {
    title: 'A webhook got another address: the one before is of no use',
    target: 'webhook',
    data: Fields({ channelId: text }),
  },
  'webhook.deleted': {
    title: 'A webhook was deleted',
    target: 'webhook',
    data: Fields({ channelId: text, name: text }),
  },
  'webhook.refused': {
    title: 'Something came to a webhook with a wrong secret, or to one that is not there',
    target: 'webhook',
    data: Fields({ repeats }),
    severity: 'notice',
    outcome: 'refused',
  },
  // Whom is nobody's business.
  'block.added': { title: 'Somebody was blocked', target: 'user', data: None },
  'block.removed': { title: 'Somebody is no longer blocked', target: 'user', data: None },
  'contactSettings.updated': {
    title: 'Somebody changed who may begin conversations with them',
    target: 'user',
    data: changes,
  },
  'messages.expired': {
    title: 'Messages were deleted because their channel keeps them no longer',
    target: 'channel',
    data: Fields({ messages: Type.Integer(), files: Type.Integer() }),
  },
  'conversation.created': {
    title: 'A direct message or a group was begun',
    target: 'conversation',
    data: Fields({ kind: text, participantIds: names }),
  },
  // What a group calls itself is its own business, like what is said in it.
  'conversation.renamed': { title: 'A group was renamed', target: 'conversation', data: None },
  'conversation.participantAdded': {
    title: 'Somebody was added to a group',
    target: 'conversation',
    data: Fields({ userId: text }),
  },
  'conversation.participantRemoved': {
    title: 'Somebody left a group, or was removed from it',
    target: 'conversation',
    data: Fields({ userId: text }),
  },
  'call.started': {
    title: 'Two people met in a call',
    target: 'call',
    data: Fields({ channelId: text }),
  },
  'call.ended': {
    title: 'A call in which people had met was over',
    target: 'call',
    data: Fields({
      channelId: text,
      seconds: Type.Integer(),
      participants: Type.Integer(),
      peak: Type.Integer(),
      ending: text,
    }),
  },
  'calls.expired': {
    title: 'Calls were forgotten because the server keeps them no longer',
    target: 'server',
    data: Fields({ calls: Type.Integer() }),
  },
  'media.uploaded': {
    title: 'A file was uploaded',
    target: 'media',
    data: Fields({ size: Type.Integer(), contentType: text, sha256: text }),
  },
  'media.deleted': { title: 'A file was deleted', target: 'media', data: Fields({ ownerId: text }) },
  'access.refused': accessRefused,
  'refusals.summed': refusalsSummed,
})
