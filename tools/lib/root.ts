import { dirname } from 'node:path'

/** The repository's root. */
export const root: string = dirname(dirname(import.meta.dir))
