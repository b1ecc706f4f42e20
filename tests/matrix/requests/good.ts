import type { Person, Scene } from '../scene.ts'
import type { Ask } from '../send.ts'

/** What differs from an empty request of the owner's. */
export type Good = Partial<Ask> & { as?: Person }

/**
 * A request to each operation of an area that takes more than a token, such that it succeeds. What it uses up is made
 * for it, so that each succeeds as often as it is asked for.
 */
export type GoodRequests = Record<string, (scene: Scene) => Good | Promise<Good>>
