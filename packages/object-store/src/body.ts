/** The body's chunks; ends with the signal's reason when it aborts, even while the source is silent. */
export async function* chunksOf(body: ReadableStream<Uint8Array> | Uint8Array, signal: AbortSignal | undefined) {
  if (body instanceof Uint8Array) {
    yield body
    return
  }
  const reader = body.getReader()
  // Cancelling ends a read that waits. (A race with a promise of the abort would keep every chunk until the end.)
  const onAbort = () => void reader.cancel(signal!.reason).catch(() => {})
  signal?.addEventListener('abort', onAbort, { once: true })
  let finished = false
  try {
    // It may have aborted before anybody listened.
    signal?.throwIfAborted()
    for (let read = await reader.read(); !read.done; read = await reader.read()) yield read.value
    signal?.throwIfAborted()
    finished = true
  } finally {
    signal?.removeEventListener('abort', onAbort)
    // Not awaited: a source that is stuck must not keep us from cleaning up.
    if (!finished) reader.cancel().catch(() => {})
  }
}
