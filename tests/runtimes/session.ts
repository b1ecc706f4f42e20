// Runs in other runtimes, bundled with the SDK: it follows a channel, and says something when it is told to.
import { GatewayClient } from '@conntext/sdk'

type Wanted = { baseUrl: string; token: string; channelId: string }

export async function startSession({ baseUrl, token, channelId }: Wanted) {
  const heard: string[] = []
  const connections: boolean[] = []
  const gateway = new GatewayClient({
    baseUrl,
    token: async () => token,
    compress: true,
    reconnect: { firstMs: 50, longestMs: 500 },
  })
  gateway.on('ready', ({ resumed }) => connections.push(resumed))
  gateway.on('message.created', async ({ content }) => {
    await Promise.resolve()
    heard.push(content)
  })
  await gateway.connect()
  return {
    say: async (content: string) => (await gateway.send({ channelId, content })).content,
    state: () => ({ heard, connections }),
    close: () => gateway.close(),
  }
}
export type Session = Awaited<ReturnType<typeof startSession>>
