import { MAX_GROUPS, MAX_PARTICIPANTS } from '@conntext/contracts'
import { defineErrors } from '@conntext/kernel'

export const conversationErrors = defineErrors('conversation', {
  notOwner: { status: 403, title: "Only the group's owner can remove others from it" },
  notAccepted: { status: 403, title: 'They do not take messages from you' },
  memberNotFound: { status: 404, title: 'No such member' },
  notAParticipant: { status: 404, title: 'They do not take part in this group' },
  blocked: { status: 409, title: 'You have blocked them: take that back first' },
  notAGroup: { status: 409, title: 'This is between two people: begin a group instead' },
  isAGroup: { status: 409, title: 'A group is left, not closed' },
  full: { status: 409, title: `A group has at most ${MAX_PARTICIPANTS} people` },
  tooMany: { status: 409, title: `Somebody among them is in ${MAX_GROUPS} groups, and nobody can be in more` },
  left: { status: 409, title: 'The group that was made with this nonce is one that you have left' },
  withOneself: { status: 422, title: 'A conversation takes somebody else' },
  userNotFound: { status: 422, title: 'Somebody among them is no member' },
  unstorable: { status: 422, title: 'The name holds something that is not text' },
})
