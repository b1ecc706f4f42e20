import { describe, expect, test } from 'bun:test'
import type { CallStatus, Problem, VoiceState } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import type { Person } from './support/person.ts'
import { hasWorker, skipped, startNodes } from './support/stack.ts'

const withWorker = hasWorker ? describe : describe.skip

type Stack = Awaited<ReturnType<typeof startNodes>>
type Asked = { node?: number; body?: object; reason?: string }

const asker =
  (stack: Stack) =>
  async (person: Person | undefined, method: string, path: string, { node = 0, body, reason }: Asked = {}) => {
    const headers = {
      ...(person ? { authorization: `Bearer ${person.token}` } : {}),
      ...(body ? { 'content-type': 'application/json' } : {}),
      ...(reason ? { 'x-audit-reason': reason } : {}),
    }
    const request = new Request(`http://localhost${path}`, {
      ...{ method, headers },
      ...(body ? { body: JSON.stringify(body) } : {}),
    })
    const answer = await stack.nodes[node]!.service.app.handle(request)
    const text = await answer.text()
    return { status: answer.status, body: (text === '' ? undefined : JSON.parse(text)) as CallStatus & Problem }
  }

const path = (channelId: string, person: Person, action: string) =>
  `/v1/channels/${channelId}/call/participants/${person.userId}/${action}`

withWorker(`the call of a channel${skipped}`, () => {
  test('is told by every instance: since when it runs, and who is in it', async () => {
    await using stack = await startNodes(2)
    const ask = asker(stack)
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person()]
    const address = `/v1/channels/${channel.id}/call`
    expect(await ask(bert, 'GET', address)).toEqual({
      status: 200,
      body: { channelId: channel.id, callId: null, startedAt: null, participants: [] } as never,
    })
    const before = Date.now()
    await anna.join(channel.id)
    await bert.join(channel.id)
    await anna.leave()
    for (const node of [0, 1]) {
      const { body } = await eventually(async () => {
        const answer = await ask(bert, 'GET', address, { node })
        return answer.status === 200 && answer.body.callId !== null ? answer : undefined
      })
      expect(body.callId).toBe(bert.joined!.callId)
      expect(body.participants.map(({ userId }) => userId)).toEqual([bert.userId])
      // That of the call, which has outlived who began it.
      expect(Date.parse(body.startedAt!)).toBeGreaterThanOrEqual(before)
      expect(Date.parse(body.startedAt!)).toBeLessThanOrEqual(Date.parse(body.participants[0]!.joinedAt))
    }
    await bert.leave()
    await eventually(async () => (await ask(bert, 'GET', address, { node: 1 })).body.callId === null)
  })

  test('is for who sees the channel', async () => {
    await using stack = await startNodes(1)
    const ask = asker(stack)
    const channel = await stack.voiceChannel()
    const anna = await stack.person()
    const address = `/v1/channels/${channel.id}/call`
    expect((await ask(undefined, 'GET', address)).status).toBe(401)
    expect((await ask(anna, 'GET', '/v1/channels/x/call')).status).toBeOneOf([404, 422])
    const deny = { channelId: channel.id, targetKind: 'member', targetId: anna.userId, allow: [] } as const
    stack.authority.snapshot.overrides.push({ ...deny, allow: [], deny: ['channel.view'] })
    await stack.authority.changed()
    const hidden = await ask(anna, 'GET', address)
    const missing = await ask(anna, 'GET', `/v1/channels/${newId()}/call`)
    expect([hidden.status, hidden.body.code]).toEqual([404, 'channel.notFound'])
    expect([missing.status, missing.body.code]).toEqual([404, 'channel.notFound'])
  })
})

withWorker(`moderators' routes${skipped}`, () => {
  test('any instance takes them for a call that is elsewhere; the reason is in the audit trail', async () => {
    await using stack = await startNodes(2)
    const ask = asker(stack)
    const [channel, other] = [await stack.voiceChannel(), await stack.voiceChannel()]
    const anna = await stack.person()
    const maria = await stack.person({ permissions: ['voice.moderate', 'voice.move'] })
    await anna.join(channel.id)
    await eventually(() => anna.state())
    const post = (action: string, node: number, body?: object) =>
      ask(maria, 'POST', path(channel.id, anna, action), { node, reason: 'too loud', ...(body ? { body } : {}) })
    const shows = (is: Partial<VoiceState>) =>
      eventually(async () => {
        const state = await anna.state()
        return (
          state !== undefined && Object.entries(is).every(([key, value]) => state[key as keyof VoiceState] === value)
        )
      })
    // Whichever of the two has the call, one of these comes to the other.
    for (const node of [0, 1]) {
      await eventually(async () => (await stack.nodes[node]!.port.voiceStates({})).states.length === 1)
      expect((await post('mute', node)).status).toBe(204)
      await shows({ muted: true })
      expect((await post('unmute', node)).status).toBe(204)
      await shows({ muted: false })
    }
    expect((await post('deafen', 1)).status).toBe(204)
    await shows({ deafened: true })
    expect((await post('undeafen', 0)).status).toBe(204)
    await shows({ deafened: false })
    expect((await post('move', 1, { channelId: other.id })).status).toBe(204)
    expect(await anna.hears('voice.moved')).toEqual({ channelId: channel.id, to: other.id })
    await anna.join(channel.id)
    await eventually(async () => (await stack.nodes[1]!.port.voiceStates({})).states.length === 1)
    expect((await post('disconnect', 1)).status).toBe(204)
    expect(await anna.hears('voice.ended')).toMatchObject({ reason: 'disconnected' })
    expect((await post('mute', 0)).body).toMatchObject({ status: 404, code: 'voice.notInCall' })
    const said = stack.audited.map(({ action, reason }) => [action, reason])
    const actions = ['muted', 'unmuted', 'muted', 'unmuted', 'deafened', 'undeafened', 'moved', 'disconnected']
    expect(said).toEqual(actions.map((action) => [`voice.${action}`, 'too loud']) as never)
    expect(stack.audited.every(({ actor, target }) => actor.id === maria.userId && target?.id === anna.userId)).toBe(
      true,
    )
  }, 20_000)

  test('nothing of it is for who lacks the permission, stands below, or asks for nonsense', async () => {
    await using stack = await startNodes(1)
    const ask = asker(stack)
    const channel = await stack.voiceChannel()
    const text = await stack.authority.channel({ type: 'text' })
    const owner = await stack.person({ owner: true })
    const anna = await stack.person()
    const maria = await stack.person({ permissions: ['voice.moderate', 'voice.move'] })
    await owner.join(channel.id)
    await anna.join(channel.id)
    for (const action of ['mute', 'unmute', 'deafen', 'undeafen', 'move', 'disconnect']) {
      const more = action === 'move' ? { body: { channelId: text.id } } : {}
      const asked = async (person: Person | undefined, of: Person, channelId = channel.id) => {
        const { status, body } = await ask(person, 'POST', path(channelId, of, action), more)
        return [status, body.code]
      }
      expect(await asked(undefined, owner)).toEqual([401, 'access.unauthenticated'])
      expect(await asked(anna, owner)).toEqual([403, 'access.forbidden'])
      expect(await asked(maria, owner)).toEqual([403, 'access.forbidden'])
      expect(await asked(maria, maria)).toEqual([404, 'voice.notInCall'])
      expect(await asked(maria, anna, newId())).toEqual([404, 'channel.notFound'])
      expect(await asked(maria, anna, text.id)).toEqual([409, 'voice.notAVoiceChannel'])
    }
    const move = (body: object) => ask(maria, 'POST', path(channel.id, anna, 'move'), { body })
    expect((await move({ channelId: channel.id })).body.code).toBe('voice.cannotMoveThere')
    expect((await move({ channelId: text.id })).body.code).toBe('voice.notAVoiceChannel')
    expect((await move({ channelId: newId() })).body.code).toBe('channel.notFound')
    expect((await move({})).status).toBe(422)
    expect((await move({ channelId: text.id, to: 'x' })).status).toBe(422)
    expect(stack.audited.filter(({ action }) => action !== 'access.refused')).toEqual([])
    await eventually(async () => (await anna.state())?.muted === false)
  })
})
