import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { deriveKey, equalSecrets, keyedHash, randomToken, seal, unseal } from '../src/index.ts'

const key = Buffer.alloc(32, 1)
const bytes = fc.uint8Array({ maxLength: 200 })

describe('sealing', () => {
  test('gives back what was sealed, bytes or text', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), bytes, fc.string(), (own, plain, context) => {
        expect(new Uint8Array(unseal(own, seal(own, plain, context), context))).toEqual(plain)
      }),
    )
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(unseal(key, seal(key, text, 'x'), 'x').toString()).toBe(text)
      }),
    )
  })

  test('never makes the same twice', () => {
    const made = new Set(Array.from({ length: 1000 }, () => seal(key, 'same', 'context').toString('hex')))
    expect(made.size).toBe(1000)
  })

  test('shows nothing of what it holds', () => {
    expect(seal(key, 'a secret', 'context').toString('latin1')).not.toContain('secret')
  })

  test('refuses when any one bit is another', () => {
    const sealed = seal(key, 'a secret', 'context')
    for (let bit = 0; bit < sealed.length * 8; bit += 1) {
      const flipped = Buffer.from(sealed)
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      expect(() => unseal(key, flipped, 'context')).toThrow()
    }
  })

  test('refuses another context, another key, and what was cut or added to', () => {
    const sealed = seal(key, 'a secret', 'users/1')
    expect(() => unseal(key, sealed, 'users/2')).toThrow()
    expect(() => unseal(key, sealed, '')).toThrow()
    expect(() => unseal(Buffer.alloc(32, 2), sealed, 'users/1')).toThrow()
    for (let length = 0; length < sealed.length; length += 1) {
      expect(() => unseal(key, sealed.subarray(0, length), 'users/1')).toThrow()
    }
    expect(() => unseal(key, Buffer.concat([sealed, Buffer.alloc(1)]), 'users/1')).toThrow()
    expect(unseal(key, sealed, 'users/1').toString()).toBe('a secret')
  })
})

test('equal secrets are equal, whatever their form, and no others', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (a, b) => {
      expect(equalSecrets(a, b)).toBe(a === b)
      expect(equalSecrets(a, Buffer.from(a))).toBe(true)
    }),
  )
  expect(equalSecrets('', 'x')).toBe(false)
  expect(equalSecrets('secret', 'secret ')).toBe(false)
})

test('keys derived for different purposes differ, for the same one agree, and have 32 bytes', () => {
  const purposes = ['a', 'b', 'a/b', 'ab', '']
  const derived = purposes.map((purpose) => deriveKey(key, purpose))
  expect(new Set(derived.map((one) => one.toString('hex'))).size).toBe(purposes.length)
  expect(derived.map((one) => one.length)).toEqual([32, 32, 32, 32, 32])
  expect(deriveKey(key, 'a').equals(derived[0]!)).toBe(true)
  expect(deriveKey(Buffer.alloc(32, 2), 'a').equals(derived[0]!)).toBe(false)
})

test('a keyed hash is HMAC-SHA256', () => {
  // RFC 4231, test case 2.
  expect(keyedHash(Buffer.from('Jefe'), 'what do ya want for nothing?').toString('hex')).toBe(
    '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
  )
})

test('a random token is base64url of as many bytes as asked, and never the same', () => {
  expect(Buffer.from(randomToken(), 'base64url')).toHaveLength(32)
  expect(Buffer.from(randomToken(16), 'base64url')).toHaveLength(16)
  expect(randomToken()).toMatch(/^[A-Za-z0-9_-]{43}$/)
  expect(new Set(Array.from({ length: 1000 }, () => randomToken())).size).toBe(1000)
})
