import { fileURLToPath } from 'node:url'
import { checkProblem, type Operation } from './document.ts'
import type { Answer } from './send.ts'

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))
const PROBLEM = 'application/problem+json'

// What a stack trace, a statement, a library's or an engine's own words look like.
const INSIDES = [
  /\bat \S+ \(/,
  /\.(ts|mjs|js):\d+/,
  /node_modules|\/tmp\/|\/home\/|\/root\//,
  /\bselect\b.+\bfrom\b|\binsert into\b|\bupdate\b.+\bset\b|\brelation "|\bviolates\b/i,
  /drizzle|postgres|clickhouse|chdb|elysia|typebox|mediasoup/i,
  /\b(Type|Range|Reference|Syntax)Error\b|ECONN|undefined is not/,
]

/** What is wrong with an answer whatever was asked; nothing, if nothing is. */
export function faultsOfAnswer(answer: Answer, method: string): string[] {
  const { status, headers, text } = answer
  const faults: string[] = []
  if (status >= 500 || !(status >= 200)) faults.push(`is a ${status}: ${text.slice(0, 300)}`)
  if (headers.get('x-content-type-options') !== 'nosniff') faults.push('does not say nosniff')
  if (!headers.get('x-request-id')) faults.push('has no request id')
  if (status >= 400) faults.push(...faultsOfRefusal(answer, method))
  return faults
}

function faultsOfRefusal({ status, headers, text }: Answer, method: string): string[] {
  const faults: string[] = []
  if (headers.get('content-type') !== PROBLEM) faults.push(`is of type ${headers.get('content-type')}`)
  if (status === 401 && !headers.has('www-authenticate')) faults.push('does not say how to authenticate')
  if (status === 405 && !headers.has('allow')) faults.push('does not say what is allowed')
  if (status === 429 && !headers.has('retry-after')) faults.push('does not say when to come back')
  if (method === 'HEAD') return faults
  return [...faults, ...faultsOfProblem({ status, headers, text })]
}

function faultsOfProblem({ status, headers, text }: Answer): string[] {
  let problem: { status: number; code: string; type: string; requestId: string }
  try {
    problem = JSON.parse(text)
  } catch {
    return [`is no JSON: ${text.slice(0, 300)}`]
  }
  const faults: string[] = []
  if (!checkProblem(problem)) faults.push(`is no problem: ${text.slice(0, 300)}`)
  if (problem.status !== status) faults.push(`says ${problem.status} in its body`)
  if (problem.type !== `urn:conntext:error:${problem.code}`) faults.push(`is of type ${problem.type}`)
  if (problem.requestId !== headers.get('x-request-id')) faults.push('has another request id in its body')
  for (const inside of INSIDES) if (inside.test(text)) faults.push(`tells of its insides (${inside}): ${text}`)
  if (text.includes(REPOSITORY)) faults.push(`tells where it lies: ${text}`)
  return faults
}

/** What is wrong with an answer to an operation, by what the document says of it. */
export function faultsByDocument(operation: Operation, { status, headers, text }: Answer): string[] {
  const documented = operation.responses.get(status)
  if (!documented) return [`the document knows no ${status}: ${text.slice(0, 200)}`]
  const type = headers.get('content-type')?.split(';')[0]
  const { types, check } = documented
  if (types.length === 0) return text === '' ? [] : [`${status} has a body: ${text.slice(0, 100)}`]
  if (operation.method === 'HEAD') return []
  if (!types.includes('*/*') && !types.includes(type ?? '')) return [`${status} is of type ${type}`]
  if (status >= 400 || !check || check(JSON.parse(text))) return []
  return [`${status} breaks its schema: ${JSON.stringify(check.errors).slice(0, 400)}`]
}
