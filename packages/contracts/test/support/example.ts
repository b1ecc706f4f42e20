import fc from 'fast-check'
import type { AuthoritySnapshot, Grant } from '../../src/index.ts'
import { EVERYONE, snapshots } from './world.ts'

export const member = (change: Partial<Grant> = {}): Grant => ({
  userId: 'member-1',
  kind: 'user',
  mfa: false,
  standing: 'active',
  timedOutUntil: null,
  roleIds: [],
  ...change,
})

/** A world of one's own: what @everyone and role-a have, and a channel in a category. */
export function world(change: Partial<AuthoritySnapshot> = {}): AuthoritySnapshot {
  const [sample] = fc.sample(snapshots, { seed: 1, numRuns: 1 })
  const [everyone, a] = sample!.roles
  const [category] = sample!.channels
  return {
    ...sample!,
    ownerId: null,
    server: { ...sample!.server, requireMfa: false },
    roles: [
      { ...everyone!, permissions: ['channel.view', 'message.history', 'message.send'] },
      { ...a!, permissions: ['member.kick'], requireMfa: false },
    ],
    channels: [category!, { ...category!, id: 'channel-1', type: 'text', parentId: category!.id }],
    overrides: [],
    ...change,
  }
}
export const override = (channelId: string, targetId: string, change: { allow?: string[]; deny?: string[] }) =>
  ({
    channelId,
    targetKind: targetId.startsWith('role') ? 'role' : 'member',
    targetId,
    allow: [],
    deny: [],
    ...change,
  }) as AuthoritySnapshot['overrides'][number]
export const hidden = override('channel-1', EVERYONE, { deny: ['channel.view'] })
