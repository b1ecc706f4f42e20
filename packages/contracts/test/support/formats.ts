import { FormatRegistry } from '@sinclair/typebox'

// Elysia registers these where HTTP is spoken; the contracts by themselves don't depend on it.
FormatRegistry.Set('uuid', (text) => /^[0-9a-f-]{36}$/.test(text))
FormatRegistry.Set('email', (text) => text.includes('@'))
