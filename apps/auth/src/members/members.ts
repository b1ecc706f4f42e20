import { type Member, SERVER_STREAM, type StreamAppend } from '@conntext/contracts'
import { streamEvent } from '../changes.ts'
import { toUser } from '../users/users.ts'
import type { MemberRow } from './queries.ts'

export const toMember = (row: MemberRow): Member => ({
  user: toUser(row),
  nickname: row.nickname,
  roleIds: row.roleIds,
  timedOutUntil: row.timedOutUntil?.toISOString() ?? null,
  joinedAt: row.joinedAt.toISOString(),
})

export const memberUpdated = ({ user, nickname, roleIds, timedOutUntil }: Member): StreamAppend =>
  streamEvent(SERVER_STREAM, 'member.updated', { userId: user.id, nickname, roleIds, timedOutUntil })

export const memberJoined = ({ user, roleIds, joinedAt }: Member): StreamAppend =>
  streamEvent(SERVER_STREAM, 'member.joined', { user, roleIds, joinedAt })
