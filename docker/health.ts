// The image's health check: whether the service in this container is ready. Prints what it answers.
const answer = await fetch(`http://127.0.0.1:${process.env.CONNTEXT_PORT || 8080}/readyz`, {
  signal: AbortSignal.timeout(4_000),
}).catch((error: Error) => new Response(error.message, { status: 503 }))
console.log(answer.status, await answer.text())
process.exit(answer.ok ? 0 : 1)
