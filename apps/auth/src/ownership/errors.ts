import { defineErrors } from '@conntext/kernel'

export const ownershipErrors = defineErrors('ownership', {
  notYours: { status: 403, title: 'Only the owner hands the server over' },
  alreadyTheirs: { status: 409, title: 'They are the owner already' },
  botsOwnNothing: { status: 409, title: 'A bot cannot own the server' },
  mfaRequired: { status: 409, title: 'This server asks for a second factor, which they lack' },
})
