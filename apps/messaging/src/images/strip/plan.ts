import type { ObjectStore } from '@conntext/object-store'
import { UnreadablePicture } from './reader.ts'

/** A stretch of the original (`end` excluded), or bytes of our own. */
type Piece = { start: number; end: number } | Uint8Array

// A picture that is chopped finer than this was made to be.
const MOST_PIECES = 20_000

/** What a picture is to be made of: stretches of what was uploaded, in their order, with few bytes in between. */
export class Plan {
  readonly pieces: Piece[] = []

  /** Takes bytes of the original over. */
  copy(start: number, end: number): void {
    const last = this.pieces.at(-1)
    if (last && !(last instanceof Uint8Array) && last.end === start) last.end = end
    else this.#add({ start, end })
  }

  insert(bytes: Uint8Array): void {
    this.#add(bytes)
  }

  get size(): number {
    return this.pieces.reduce(
      (total, piece) => total + (piece instanceof Uint8Array ? piece.length : piece.end - piece.start),
      0,
    )
  }

  /** Whether it is the original, of this size, as it was. */
  keepsAll(size: number): boolean {
    const [only, ...others] = this.pieces
    return (
      others.length === 0 &&
      only !== undefined &&
      !(only instanceof Uint8Array) &&
      only.start === 0 &&
      only.end === size
    )
  }

  #add(piece: Piece): void {
    if (this.pieces.length >= MOST_PIECES) throw new UnreadablePicture('it is chopped too finely')
    this.pieces.push(piece)
  }
}

/** The planned picture's bytes, read from the original as they are asked for. */
export function streamPlan(plan: Plan, objects: Pick<ObjectStore, 'get'>, key: string): ReadableStream<Uint8Array> {
  const source = chunks(plan, objects, key)
  return new ReadableStream(
    {
      async pull(controller) {
        const { done, value } = await source.next()
        if (done) controller.close()
        else controller.enqueue(value)
      },
      cancel: async () => void (await source.return(undefined)),
    },
    { highWaterMark: 0 },
  )
}

async function* chunks(
  plan: Plan,
  objects: Pick<ObjectStore, 'get'>,
  key: string,
): AsyncGenerator<Uint8Array, undefined> {
  for (const piece of plan.pieces) {
    if (piece instanceof Uint8Array) yield piece
    else if (piece.end > piece.start) {
      const { body } = await objects.get(key, { range: { start: piece.start, end: piece.end - 1 } })
      yield* body
    }
  }
  return undefined
}
