/** `size` bytes in pieces of `pieceBytes`, made as they are asked for. */
export function streamOf(
  size: number,
  { pieceBytes = 64 * 1024, failAfter = Number.POSITIVE_INFINITY, onCancel = () => {} } = {},
): ReadableStream<Uint8Array> {
  let sent = 0
  return new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        if (sent >= failAfter) throw new Error('the source failed')
        const piece = new Uint8Array(Math.min(pieceBytes, size - sent)).fill(sent / pieceBytes)
        sent += piece.byteLength
        if (piece.byteLength > 0) controller.enqueue(piece)
        if (sent >= size) controller.close()
      },
      cancel: onCancel,
    },
    { highWaterMark: 0 },
  )
}
