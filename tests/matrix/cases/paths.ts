import { operations } from '../document.ts'
import { type Answer, sendRaw, urlOf } from '../send.ts'
import type { Subject } from './case.ts'

/** An address as nobody writes it, sent byte for byte, and what may come of it. */
export type Trick = { name: string; method: string; target: string; expect: number[] }

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'TRACE', 'OPTIONS', 'HEAD']
// Another address: there is nothing, or what stands there takes other methods, other ids, or a body.
const ELSEWHERE = [400, 404, 405, 422]
const REFUSED = [400]

/** An operation's address, not quite. None may be taken for the operation itself. */
export function pathTricks({ operation, good }: Subject): Trick[] {
  const plain = urlOf(operation.path, { path: good.path, query: '' })
  const [, first = '', ...rest] = plain.split('/')
  const last = rest.at(-1) ?? first
  const before = plain.slice(0, plain.length - last.length)
  const targets: [string, string, number[]][] = [
    ['a slash at the end', `${plain}/`, ELSEWHERE],
    ['two slashes at the beginning', `/${plain}`, [400, 404]],
    ['two slashes in the middle', `${before}/${last}`, ELSEWHERE],
    ['capitals', plain.toUpperCase(), ELSEWHERE],
    ['an encoded slash', `${before}x%2f..%2f${last}`, REFUSED],
    ['an encoded backslash', `${before}x%5c${last}`, REFUSED],
    ['a NUL', `${plain}%00`, REFUSED],
    ['a line break', `${plain}%0d%0aSet-Cookie:%20a=b`, REFUSED],
    ['a broken encoding', `${plain}%zz`, REFUSED],
    ['an encoding that breaks off', `${plain}%`, REFUSED],
    ['bytes that are no UTF-8', `${plain}%ff%fe`, REFUSED],
    ['an overlong encoding', `${before}%c0%af${last}`, REFUSED],
    ['9 KB', `${plain}${'a'.repeat(9000)}`, [413]],
    ['parameters of its own', `${plain};a=b`, ELSEWHERE],
    ['letters of another script', `${plain}%D0%B0`, ELSEWHERE],
    ['an ending', `${plain}.json`, ELSEWHERE],
    ['a space', `${plain}%20`, ELSEWHERE],
  ]
  return targets.map(([name, target, expect]) => ({ name, method: operation.method, target, expect }))
}

/** Whether an address is one of those that another operation has for things of any id. */
const fits = (method: string, target: string): boolean =>
  operations.some(
    (one) =>
      one.method === (method === 'HEAD' ? 'GET' : method) &&
      new RegExp(`^${one.path.replace(/\{\w+\}/g, '[^/]+')}$`).test(target),
  )

/** Every method that an address doesn't take. Asked for once an address, with its first operation. */
export function methodTricks({ operation, good }: Subject): Trick[] {
  const here = operations.filter((one) => one.path === operation.path)
  if (here[0] !== operation) return []
  const taken = new Set(here.flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method])))
  const target = urlOf(operation.path, { path: good.path, query: '' })
  const wrong = METHODS.filter((method) => !taken.has(method)).map((method) => ({
    name: `${method} instead`,
    method,
    target,
    expect: method === 'OPTIONS' ? [204] : fits(method, target) ? [...ELSEWHERE, 401, 403] : [405],
  }))
  // Without the query, which some can't do without.
  const head = {
    name: 'HEAD for GET',
    method: 'HEAD',
    target,
    expect: [operation.success, ...(Object.keys(good.query).length > 0 ? [400, 422] : [])],
  }
  return operation.method === 'GET' ? [...wrong, head] : wrong
}

/** Dot segments as they are: what reads them may take them out, so the operation itself may answer. */
export function dotTricks({ operation, good }: Subject): Trick[] {
  const plain = urlOf(operation.path, { path: good.path, query: '' })
  if (operation.method !== 'GET') return []
  const end = plain.lastIndexOf('/')
  const [before, last] = [plain.slice(0, end), plain.slice(end + 1)]
  const targets = [`/v1/..${plain}`, `/.${plain}`, `/a/b/../..${plain}`, `/v1/%2e%2e${plain}`]
  const astray = [`${before}/../${last}`, `${before}/%2e%2e/${last}`, `${before}/.%2e/${last}`]
  return [...targets, ...astray].map((target) => {
    const same = new URL(target, 'http://localhost').pathname === plain
    return {
      name: 'dots',
      method: 'GET',
      target,
      expect: same ? [operation.success, ...ELSEWHERE] : ELSEWHERE,
    }
  })
}

export function sendTrick(
  base: string,
  { method, target }: Trick,
  token: string | undefined,
): Promise<Answer | undefined> {
  const lines = [
    `${method} ${target} HTTP/1.1`,
    'Host: localhost',
    'Connection: close',
    ...(token === undefined ? [] : [`Authorization: Bearer ${token}`]),
    '',
    '',
  ]
  return sendRaw(base, lines.join('\r\n'))
}

export const tricks = (subject: Subject): Trick[] => [
  ...pathTricks(subject),
  ...methodTricks(subject),
  ...dotTricks(subject),
]
