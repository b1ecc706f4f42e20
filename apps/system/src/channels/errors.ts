import { channelNotFound } from '@conntext/http'
import { defineErrors } from '@conntext/kernel'

export const channelErrors = {
  ...defineErrors('channel', {
    nameTaken: { status: 409, title: 'A channel of this type has the name already' },
    badParent: { status: 422, title: 'The channel cannot be put there' },
    tooMany: { status: 409, title: 'The server has as many channels as it can have' },
    noSlowMode: { status: 422, title: 'Only text channels have a slow mode' },
    noRetention: { status: 422, title: 'Only text channels have messages to keep' },
    noCalls: { status: 422, title: 'Only voice channels have calls' },
    inherited: { status: 409, title: 'Channels in this category lean on its overrides' },
  }),
  notFound: channelNotFound,
}

export const overrideErrors = defineErrors('override', {
  notFound: { status: 404, title: 'The channel has no override for this role or member' },
  noSuchTarget: { status: 404, title: 'There is no role and no member with this id' },
  contradictory: { status: 422, title: 'A permission cannot be both allowed and denied' },
  repeated: { status: 422, title: 'A role or member has one override in a channel' },
  notBelowYours: { status: 403, title: 'Only overrides for those who stand below your own highest role are yours' },
  beyondOwn: { status: 403, title: 'Only permissions that one has oneself can be allowed or denied' },
  tooMany: { status: 409, title: 'The channel has as many overrides as it can have' },
})
