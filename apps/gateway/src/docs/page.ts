import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'

const LIBRARY = 'swagger-ui-dist'
const SETUP = `window.onload = () => SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#docs',
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null,
})
`
const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ConnText API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/setup.js"></script>
</head>
<body>
<p><a href="/asyncapi.yaml">The WebSocket at /v1/gateway, as an AsyncAPI document</a></p>
<div id="docs"></div>
</body>
</html>
`
// Nothing from anywhere else: not even what the library would like to fetch.
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

type Asset = { type: string; load: () => Promise<string> }
type Loaded = { type: string; plain: Uint8Array<ArrayBuffer>; gzip: Uint8Array<ArrayBuffer>; etag: string }

const fromLibrary = (file: string) => () => Bun.file(fileURLToPath(import.meta.resolve(`${LIBRARY}/${file}`))).text()

/** Text that never changes while the process lives, compressed once. */
export function staticText(type: string, text: string): Loaded {
  const plain = Buffer.from(text)
  const etag = `"${createHash('sha256').update(plain).digest('base64url').slice(0, 22)}"`
  return { type, plain, gzip: Bun.gzipSync(plain), etag }
}

/** Answers such a text, or 304 to whoever has it already. */
export function serveStatic(asset: Loaded, request: Request): Response {
  const headers = new Headers({
    'content-type': asset.type,
    'cache-control': 'no-cache',
    etag: asset.etag,
    vary: 'accept-encoding',
    'content-security-policy': POLICY,
  })
  if (request.headers.get('if-none-match') === asset.etag) return new Response(null, { status: 304, headers })
  if (!request.headers.get('accept-encoding')?.includes('gzip')) return new Response(asset.plain, { headers })
  headers.set('content-encoding', 'gzip')
  return new Response(asset.gzip, { headers })
}

/** The documentation page and its files, all from the npm package's own: no content network, no outside fonts. */
export function createDocs() {
  const assets: Record<string, Asset> = {
    '': { type: 'text/html; charset=utf-8', load: async () => PAGE },
    'setup.js': { type: 'text/javascript; charset=utf-8', load: async () => SETUP },
    'swagger-ui-bundle.js': { type: 'text/javascript; charset=utf-8', load: fromLibrary('swagger-ui-bundle.js') },
    'swagger-ui.css': { type: 'text/css; charset=utf-8', load: fromLibrary('swagger-ui.css') },
  }
  const loaded = new Map<string, Promise<Loaded>>()

  /** Undefined for a file that is not part of it. */
  return async (file: string, request: Request): Promise<Response | undefined> => {
    if (!Object.hasOwn(assets, file)) return undefined
    const { type, load } = assets[file]!
    const asset = loaded.get(file) ?? load().then((text) => staticText(type, text))
    loaded.set(file, asset)
    return serveStatic(await asset, request)
  }
}
