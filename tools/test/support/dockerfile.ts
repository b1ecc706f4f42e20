// As much of Dockerfiles and .dockerignore files as ours use.

export interface Instruction {
  /** The stage that it stands in; 'global' before the first. */
  stage: string
  keyword: string
  text: string
}

/** The instructions of a Dockerfile in their order, lines joined. */
export function readDockerfile(source: string): Instruction[] {
  const lines = source
    .replace(/^\s*#.*$/gm, '')
    .replace(/\\\n/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '')
  let stage = 'global'
  return lines.map((line) => {
    const [, keyword = '', text = ''] = /^(\w+)\s+(.*)$/.exec(line.trim()) ?? []
    if (keyword === 'FROM') stage = / AS (\S+)$/.exec(text)?.[1] ?? text
    return { stage, keyword, text: text.replace(/\s+/g, ' ') }
  })
}

/** Whether a path of the context goes to whoever builds: the last rule that fits decides. */
export function readIgnore(source: string): (path: string) => boolean {
  const rules = source
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => ({ keeps: line.startsWith('!'), glob: globOf(line.replace(/^!/, '')) }))
  return (path) => {
    // What holds for a folder holds for all that is in it.
    const parts = path.split('/')
    const above = parts.map((_, index) => parts.slice(0, index + 1).join('/'))
    const last = rules.findLast(({ glob }) => above.some((one) => glob.test(one)))
    return last?.keeps ?? true
  }
}

function globOf(pattern: string): RegExp {
  const text = pattern
    .split('**/')
    .map((part) => part.replace(/[.+^${}()|[\]\\]/g, '\\$&').replace(/\*/g, '[^/]*'))
    .join('(?:.*/)?')
  return new RegExp(`^${text}$`)
}
