import { type Static, type TObject, type TProperties, type TSchema, Type } from '@sinclair/typebox'

/**
 * An object of the public contract. Unknown fields are refused on the way in and are our bug on the way out. The
 * title names it in the OpenAPI document: schemas with a title become components.
 */
export const Shape = <P extends TProperties>(title: string, properties: P): TObject<P> =>
  Type.Object(properties, { title, additionalProperties: false })

/** A part of a body or a query: closed like a `Shape`, but nameless. */
export const Fields = <P extends TProperties>(properties: P): TObject<P> =>
  Type.Object(properties, { additionalProperties: false })

export const Nullable = <S extends TSchema>(schema: S) => Type.Union([schema, Type.Null()])

/** One of some words; with a title it is a component of its own. */
export const Enumeration = <const T extends string>(values: readonly T[], options: { title?: string } = {}) =>
  Type.Unsafe<T>(
    Type.Union(
      values.map((value) => Type.Literal(value)),
      options,
    ),
  )

export const Id = Type.String({
  format: 'uuid',
  pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$',
  description: 'A UUIDv7',
})

export { Timestamp } from './timestamp.ts'

export const IdParams = Fields({ id: Id })

export const MAX_PAGE = 100
export const DEFAULT_PAGE = 50

// Query values arrive as text: the number is checked as text, and read by `pageLimit`.
export const Limit = Type.Optional(
  Type.String({
    pattern: '^([1-9][0-9]?|100)$',
    description: `How many at most: 1 to ${MAX_PAGE}, ${DEFAULT_PAGE} unless told`,
  }),
)

export const Cursor = Type.Optional(
  Type.String({ minLength: 1, maxLength: 512, description: "The previous page's nextCursor" }),
)

export const PageQuery = Fields({ limit: Limit, cursor: Cursor })

export const pageLimit = (limit: string | undefined): number => (limit ? Number(limit) : DEFAULT_PAGE)

/** A page of a list; `nextCursor` is null on the last one. */
export const Page = <S extends TSchema>(title: string, item: S) =>
  Shape(title, { items: Type.Array(item), nextCursor: Nullable(Type.String()) })

export type Page<T> = { items: T[]; nextCursor: string | null }

/** RFC 9457. `code` is stable and what programs should look at. */
export const Problem = Shape('Problem', {
  type: Type.String({ description: 'urn:conntext:error:<code>' }),
  title: Type.String(),
  status: Type.Integer({ minimum: 400, maximum: 599 }),
  code: Type.String(),
  detail: Type.Optional(Type.String()),
  errors: Type.Optional(Type.Array(Fields({ path: Type.String(), message: Type.String() }))),
  retryAfter: Type.Optional(Type.Integer({ minimum: 1, description: 'Seconds after which a repeat may succeed' })),
  requestId: Type.String(),
})
export type Problem = Static<typeof Problem>
