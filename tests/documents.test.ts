import { expect, test } from 'bun:test'
import { startDeployment } from '@conntext/testing'
import { text as asyncapi } from './asyncapi/document.ts'
import { document as openapi } from './matrix/document.ts'

test('every gateway serves the very documents to anybody, and a page to read', async () => {
  await using server = await startDeployment()
  for (const url of server.gateways) {
    const response = await fetch(`${url}/openapi.json`)
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual(openapi)
    const etag = response.headers.get('etag')!
    const again = await fetch(`${url}/openapi.json`, { headers: { 'if-none-match': etag } })
    expect(again.status).toBe(304)
    const docs = await fetch(`${url}/docs`)
    expect(await docs.text()).toContain('/docs/swagger-ui-bundle.js')
    expect((await fetch(`${url}/docs/swagger-ui-bundle.js`)).status).toBe(200)
    expect(await (await fetch(`${url}/asyncapi.yaml`)).text()).toBe(asyncapi)
  }
}, 120_000)
