/** What a check has found. `remedy`: what the operator can do about it. */
export type Finding = { about: string; state: 'ok' | 'warning' | 'fault'; told: string; remedy?: string }

/** Looks at one thing. What it throws is a fault of the thing. */
export type Check = { about: string; run(): Promise<Omit<Finding, 'about'>> }

export const ok = (told: string): Omit<Finding, 'about'> => ({ state: 'ok', told })
export const warning = (told: string, remedy: string): Omit<Finding, 'about'> => ({ state: 'warning', told, remedy })
export const fault = (told: string, remedy: string): Omit<Finding, 'about'> => ({ state: 'fault', told, remedy })

const MARKS = { ok: 'ok     ', warning: 'warning', fault: 'FAULT  ' }

/** One line for each finding, and one below it for what to do. */
export const render = ({ about, state, told, remedy }: Finding): string =>
  `${MARKS[state]}  ${about}: ${told}${remedy ? `\n         → ${remedy}` : ''}`
