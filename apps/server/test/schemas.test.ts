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
  const components = new Components()
  expect(components.refer({ ...state, title: 'State' })).toEqual({ type: 'string', enum: ['up', 'down'] })
  expect(components.schemas).toEqual({})
})

test('one of some words, or null, may be null', () => {
  const ending = { type: ['string', 'null'], enum: ['left', 'lost'] }
  expect(new Components().refer(ending)).toEqual({ type: ['string', 'null'], enum: ['left', 'lost', null] })
})

test('a thing that may be null in one place is not null by its name', () => {
  const components = new Components()
  const status = { title: 'Status', type: 'object', properties: {} }
  const reference = { $ref: '#/components/schemas/Status' }
  expect(components.refer({ ...status, type: ['object', 'null'] })).toEqual({ anyOf: [reference, { type: 'null' }] })
  expect(components.refer(status)).toEqual(reference)
  expect(components.schemas).toEqual({ Status: { type: 'object', properties: {} } })
})
