export {
  type Condition,
  isHopeless,
  matches,
  type Phrase,
  type Properties,
  toRankQuery,
  toTsquery,
} from './conditions.ts'
export type { Period } from './dates.ts'
export { OVERLONG, quoteLexeme, type SearchDocument, tag, toDocument, toVector } from './document.ts'
export { type Highlight, highlights } from './highlights.ts'
export {
  type AttachmentKind,
  attachmentKinds,
  type Filter,
  MAX_TERMS,
  parseQuery,
  type Query,
  QueryFault,
} from './query.ts'
