import { join } from 'node:path'

/** One workspace of the monorepo. */
export interface Workspace {
  name: string
  /** Its folder, relative to the root. */
  folder: string
  kind: 'app' | 'package' | 'other'
  scripts: Record<string, string>
  /** Everything it may import: dependencies of every sort. */
  declared: Set<string>
}

const dependencyFields = ['dependencies', 'devDependencies', 'optionalDependencies', 'peerDependencies'] as const

type Manifest = { name: string; scripts?: Record<string, string> } & {
  [field in (typeof dependencyFields)[number]]?: Record<string, string>
}

/** Reads the workspaces that the root's package.json names, ordered by folder. */
export async function readWorkspaces(root: string): Promise<Workspace[]> {
  const { workspaces } = await Bun.file(join(root, 'package.json')).json()
  const patterns: string[] = Array.isArray(workspaces) ? workspaces : workspaces.packages
  const folders = new Set<string>()
  for (const pattern of patterns) {
    for await (const file of new Bun.Glob(`${pattern}/package.json`).scan({ cwd: root })) {
      folders.add(file.replace(/\/package\.json$/, ''))
    }
  }
  return await Promise.all([...folders].sort().map((folder) => readWorkspace(root, folder)))
}

async function readWorkspace(root: string, folder: string): Promise<Workspace> {
  const manifest: Manifest = await Bun.file(join(root, folder, 'package.json')).json()
  const declared = dependencyFields.flatMap((field) => Object.keys(manifest[field] ?? {}))
  return {
    name: manifest.name,
    folder,
    kind: folder.startsWith('apps/') ? 'app' : folder.startsWith('packages/') ? 'package' : 'other',
    scripts: manifest.scripts ?? {},
    declared: new Set(declared),
  }
}

/** A workspace's files that match a pattern, relative to its folder; nothing that was installed or generated. */
export async function listFiles(root: string, workspace: Workspace, pattern: string): Promise<string[]> {
  const files: string[] = []
  for await (const file of new Bun.Glob(pattern).scan({ cwd: join(root, workspace.folder) })) {
    if (!/(^|\/)(node_modules|dist|coverage|\.turbo)\//.test(file)) files.push(file)
  }
  return files.sort()
}
