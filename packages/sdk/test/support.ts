import { GatewayClient, type GatewayOptions } from '../src/index.ts'

export const STREAM = 'channel:a'

/** A client that loses no time. */
export const client = (baseUrl: GatewayOptions['baseUrl'], options: Partial<GatewayOptions> = {}) =>
  new GatewayClient({ baseUrl, token: async () => 'token', reconnect: { firstMs: 1, longestMs: 20 }, ...options })

export async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 25_000
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not in time: ${condition}`)
    await Bun.sleep(2)
  }
}

/** A token like those of a server whose clock is off by so much. */
export function tokenOf(lifetimeSeconds: number, number = 0, offBySeconds = 0): string {
  const iat = Math.floor(Date.now() / 1_000) + offBySeconds
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part({ alg: 'EdDSA' })}.${part({ iat, exp: iat + lifetimeSeconds, number })}.signature`
}
