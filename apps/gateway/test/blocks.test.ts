import { expect, test } from 'bun:test'
import { newId } from '@conntext/kernel'
import { startStack } from './support/stack.ts'

test('ready tells whom one has blocked and who may begin with one; an API token does not learn whom', async () => {
  const blocks = [newId(), newId()]
  const asked: string[] = []
  await using stack = await startStack({
    ports: (ports) => ({
      ...ports,
      messaging: {
        ...ports.messaging,
        async contactsOf({ userId }) {
          asked.push(userId)
          return { blocks, dmsFrom: 'nobody' }
        },
      },
    }),
  })
  const { userId, token } = await stack.authority.member()
  expect((await stack.enter(token)).ready).toMatchObject({ blocks, dmsFrom: 'nobody' })
  const program = stack.authority.apiToken(userId, ['administrator'])
  expect((await stack.enter(program.token)).ready).toMatchObject({ blocks: [], dmsFrom: 'nobody' })
  expect(new Set(asked)).toEqual(new Set([userId]))
})
