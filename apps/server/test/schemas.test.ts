import { expect, test } from 'bun:test'
import { Components } from '../src/openapi/schemas.ts'

test('a titled schema becomes a component and is referred to, wherever it stands', () => {
  const components = new Components()
  const user = { title: 'User', type: 'object', properties: { title: { type: 'string' } } }
  const page = { title: 'UserPage', type: 'object', properties: { items: { type: 'array', items: user } } }
  expect(components.refer(page)).toEqual({ $ref: '#/components/schemas/UserPage' })
  expect(components.schemas).toEqual({
    User: { type: 'object', properties: { title: { type: 'string' } } },
    UserPage: {
      type: 'object',
      properties: { items: { type: 'array', items: { $ref: '#/components/schemas/User' } } },
    },
  })
})

test('two different schemas of one title are refused', () => {
  const components = new Components()
  components.refer({ title: 'User', type: 'object' })
  expect(() => components.refer({ title: 'User', type: 'string' })).toThrow('two different schemas are called User')
})

test('alternatives of literals become an enum', () => {
  const state = {
    anyOf: [
      { const: 'up', type: 'string' },
      { const: 'down', type: 'string' },
    ],
  }
  expect(new Components().refer(state)).toEqual({ type: 'string', enum: ['up', 'down'] })
})
