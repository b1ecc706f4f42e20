/** Lets pages make calls on this machine, as many as there are. */
export const CALL_FLAGS = [
  // A camera and a microphone that need no hardware, nobody to ask, and a screen without one.
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
  '--auto-accept-this-tab-capture',
  '--autoplay-policy=no-user-gesture-required',
  // All pages but one are behind others.
  '--disable-renderer-backgrounding',
  '--disable-background-timer-throttling',
  '--disable-backgrounding-occluded-windows',
  // Everything is on this machine.
  '--allow-loopback-in-peer-connection',
]

/** Serves a page with nothing in it but a script, which is bundled first. */
export async function servePage(entry: string) {
  const built = await Bun.build({ entrypoints: [entry], target: 'browser', format: 'esm' })
  const script = await built.outputs[0]!.text()
  const pages = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    routes: {
      '/': new Response('<!doctype html><title>call</title><script type="module" src="/script.js"></script>', {
        headers: { 'content-type': 'text/html' },
      }),
      '/script.js': new Response(script, { headers: { 'content-type': 'text/javascript' } }),
    },
  })
  return { url: `http://127.0.0.1:${pages.port}/`, [Symbol.asyncDispose]: () => pages.stop(true) }
}
