import type { VoiceFinding } from '@conntext/contracts'

export const ok = (about: string, told: string): VoiceFinding => ({ about, state: 'ok', told, remedy: null })
export const warning = (about: string, told: string, remedy: string): VoiceFinding => ({
  ...{ about, state: 'warning', told, remedy },
})
export const fault = (about: string, told: string, remedy: string): VoiceFinding => ({
  ...{ about, state: 'fault', told, remedy },
})

const RANK = { ok: 0, warning: 1, fault: 2 } as const

export const worst = (findings: VoiceFinding[]): VoiceFinding['state'] =>
  findings.reduce<VoiceFinding['state']>((so, { state }) => (RANK[state] > RANK[so] ? state : so), 'ok')
