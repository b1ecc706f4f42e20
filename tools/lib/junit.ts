/** What one test case did, from Bun's JUnit report. */
export interface TestCase {
  file: string
  name: string
  outcome: 'passed' | 'failed' | 'skipped'
  /** Of a failure: what was expected and what came, and where. */
  message: string
}

const casePattern = /<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g
const entities: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'", '#10': '\n' }

/** Reads Bun's JUnit report. A pattern is enough: Bun escapes `<`, `>` and quotes everywhere in it. */
export function parseJunit(xml: string): TestCase[] {
  if (!xml.includes('</testsuites>')) throw new Error('the report is incomplete')
  return [...xml.matchAll(casePattern)].map(([, head = '', body = '']) => {
    const failure = /<(?:failure|error)\b([^>]*?)(?:\/>|>([\s\S]*?)<\/(?:failure|error)>)/.exec(body)
    return {
      file: attribute(head, 'file'),
      name: [attribute(head, 'classname'), attribute(head, 'name')].filter(Boolean).join(' > '),
      outcome: failure ? 'failed' : body.includes('<skipped') ? 'skipped' : 'passed',
      message: failure ? (decoded(failure[2] ?? '') || attribute(failure[1] ?? '', 'message')).trim() : '',
    }
  })
}

function attribute(text: string, name: string): string {
  const value = new RegExp(`(?:^|\\s)${name}="([^"]*)"`).exec(text)?.[1] ?? ''
  return decoded(value)
}

const decoded = (text: string) => text.replace(/&(#?\w+);/g, (whole, code: string) => entities[code] ?? whole)
