import type { DecisionReason, HidingReason, PermissionDecision } from '../api/permissions.ts'
import type { Grant } from '../authority.ts'
import { permissionNames } from '../permissions.ts'
import { ADMINISTRATOR, ALL, bitOf, VIEW } from './bits.ts'
import { counts, type Holding, type Indexed, type Level, type Target } from './evaluate.ts'

const NOT_GRANTED = { kind: 'notGranted' } as const

/**
 * Listens to an evaluation and remembers, for each permission, what decided it. It only listens: what is allowed is the
 * evaluation's own answer.
 */
export class Trace {
  readonly #reasons: DecisionReason[] = permissionNames.map(() => NOT_GRANTED)

  decide(bits: bigint, reason: DecisionReason): void {
    if (bits === 0n) return
    permissionNames.forEach((name, i) => {
      if ((bits & bitOf(name)) !== 0n) this.#reasons[i] = reason
    })
  }

  decideByRoles({ roles, everyoneId }: Indexed, grant: Grant, { roleIds, bits }: Holding): void {
    const held = [everyoneId, ...roleIds]
    const dormant = grant.roleIds.filter((id) => roles.has(id) && !counts(roles.get(id)!, grant))
    const giving = (ids: string[], bit: bigint) => ids.filter((id) => ((roles.get(id)?.bits ?? 0n) & bit) !== 0n)
    if ((bits & ADMINISTRATOR) !== 0n) {
      this.decide(ALL, { kind: 'administrator', roleIds: giving(held, ADMINISTRATOR) })
      return
    }
    for (const name of permissionNames) {
      const bit = bitOf(name)
      const sleeping = giving(dormant, bit | ADMINISTRATOR)
      if ((bits & bit) !== 0n) this.decide(bit, { kind: 'role', roleIds: giving(held, bit) })
      else if (sleeping.length > 0) this.decide(bit, { kind: 'mfa', roleIds: sleeping })
    }
  }

  /** One step of a channel or category: in each, what is allowed stands against what is denied. */
  decideByOverrides({ channelId, members }: Level, step: Target[]): void {
    for (const effect of ['deny', 'allow'] as const) {
      for (const name of permissionNames) {
        const bit = bitOf(name)
        const targetIds = step.filter(([, bits]) => (bits[effect] & bit) !== 0n).map(([id]) => id)
        if (targetIds.length === 0) continue
        const targetKind = members.has(targetIds[0]!) ? 'member' : 'role'
        this.decide(bit, { kind: 'override', channelId, targetKind, targetIds, effect })
      }
    }
  }

  /** The channel can't be seen: whatever decided that decides everything. */
  hide(): void {
    const by = this.#reasons[permissionNames.indexOf('channel.view')] as HidingReason
    this.decide(ALL & ~VIEW, { kind: 'hidden', by })
  }

  /** What it heard, with what came of it. */
  decisions(allowed: bigint): PermissionDecision[] {
    return permissionNames.map((permission, i) => ({
      permission,
      allowed: (allowed & bitOf(permission)) !== 0n,
      by: this.#reasons[i]!,
    }))
  }
}
