// What a backslash or code takes the meaning from comes first: it is passed over as a whole.
const TOKEN =
  /\\[\s\S]|```[\s\S]*?```|`[^`\n]*`|<@(?<role>&?)(?<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})>|(?<![\w@])@(?<all>everyone|here)(?!\w)/g

// More than anybody means to call by name; what a message names beyond it stays plain text.
export const MOST_NAMED = 50

/** Whom a text names, whether they exist or not. */
export type Named = { userIds: string[]; roleIds: string[]; everyone: boolean }

export const NO_NAMES: Named = { userIds: [], roleIds: [], everyone: false }

/**
 * Finds `<@user id>`, `<@&role id>`, `@everyone` and `@here`, but not in code, after a backslash or within a word (an
 * address such as me@everyone.example). In one pass, whatever the text.
 */
export function parseMentions(text: string): Named {
  if (!text.includes('@')) return NO_NAMES
  const users = new Set<string>()
  const roles = new Set<string>()
  let everyone = false
  for (const { groups } of text.matchAll(TOKEN)) {
    const { role, id, all } = groups as Record<'role' | 'id' | 'all', string | undefined>
    if (all !== undefined) everyone = true
    else if (id !== undefined && users.size + roles.size < MOST_NAMED) (role === '&' ? roles : users).add(id)
  }
  return { userIds: [...users], roleIds: [...roles], everyone }
}
