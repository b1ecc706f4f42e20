import type { GoodRequests } from './good.ts'

/** Conversations: one between the owner and a member, and a group that the owner began. */
export const conversationRequests: GoodRequests = {
  // The one that there is: what is made with another answer is made by the cases.
  openConversation: ({ member }) => ({ body: { userIds: [member.id] } }),
  getConversation: ({ conversations }) => ({ path: { channelId: conversations.group.id } }),
  renameConversation: ({ conversations }) => ({
    path: { channelId: conversations.group.id },
    body: { name: 'Plans for tomorrow' },
  }),
  closeConversation: ({ conversations }) => ({ path: { channelId: conversations.oneToOne.id } }),
  addParticipant: ({ conversations, spare }) => ({
    path: { channelId: conversations.group.id, userId: spare.id },
  }),
  removeParticipant: async ({ call, conversations, newBot, owner }) => {
    const channelId = conversations.group.id
    const { id: userId } = await newBot()
    await call('PUT', `/v1/dms/${channelId}/participants/${userId}`, { token: owner.token })
    return { path: { channelId, userId } }
  },

  blockUser: ({ bots }) => ({ path: { userId: bots.low.id } }),
  unblockUser: ({ bots }) => ({ path: { userId: bots.low.id } }),
  updateContactSettings: () => ({ body: { dmsFrom: 'everyone' } }),
}
