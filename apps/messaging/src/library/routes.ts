import { LibraryPage, LibraryQuery, StorageUsage } from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Elysia } from 'elysia'
import { type LibraryDeps, readLibrary, readStorageUsage } from './service.ts'

const tags = ['Media']

export const libraryRoutes = (deps: LibraryDeps & { access: AccessOptions }) =>
  new Elysia({ normalize: false })
    .use(access(deps.access))
    .get('/v1/library', ({ caller, query }) => readLibrary(deps, caller, query), {
      can: 'member',
      query: LibraryQuery,
      response: { 200: LibraryPage },
      detail: {
        operationId: 'listLibrary',
        summary: 'List the files of channels and conversations whose history one may read, newest first',
        tags,
        ...refusals({ 404: 'There is no such channel' }),
      },
    })
    .get('/v1/library/usage', ({ caller }) => readStorageUsage(deps, caller), {
      can: 'member',
      response: { 200: StorageUsage },
      detail: { operationId: 'getStorageUsage', summary: 'Read how much one has stored, and may still', tags },
    })
