import type { Static } from '@sinclair/typebox'
import { Enumeration, Fields, Id, Page, Shape, Timestamp } from './common.ts'

/** How many people somebody can have blocked at once: so `ready` can tell all of them. */
export const MAX_BLOCKS = 1_000

export const DmsFrom = Enumeration(['everyone', 'nobody'], { title: 'DmsFrom' })
export type DmsFrom = Static<typeof DmsFrom>

/** Who may begin a direct message with one, or add one to a group; with whom one has one already, always may. */
export const ContactSettings = Shape('ContactSettings', { dmsFrom: DmsFrom })
export type ContactSettings = Static<typeof ContactSettings>

export const Block = Shape('Block', { userId: Id, createdAt: Timestamp })
export type Block = Static<typeof Block>
/** By the ids of those who are blocked. */
export const BlockPage = Page('BlockPage', Block)

export const BlockParams = Fields({ userId: Id })
