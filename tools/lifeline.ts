// Preloaded by tools/bootstrap.mjs. Standard input is then a pipe that nobody writes to: it closes when the
// process that holds the other end is gone, however it went, and this process shuts down in order.

const patienceMs = 30_000

function endInOrder(): void {
  process.kill(process.pid, 'SIGTERM')
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), patienceMs).unref()
}

if (process.env.CONNTEXT_LIFELINE === 'stdin') {
  // What this process starts has a standard input of its own.
  delete process.env.CONNTEXT_LIFELINE
  process.stdin.on('end', endInOrder).on('error', endInOrder).resume()
  process.stdin.unref()
}
