import { Media, MediaParams, MediaQuery, UploadQuery } from '@conntext/contracts'
import { type AccessOptions, access, headAsGet, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import { TUS_HEADER } from '../uploads/protocol.ts'
import { createResumable } from '../uploads/routes.ts'
import type { ResumableDeps } from '../uploads/service.ts'
import { type DownloadDeps, downloadMedia } from './download.ts'
import { deleteMedia, getMedia } from './service.ts'
import { uploadMedia } from './upload.ts'

/** Under these paths a body is the file itself, of whatever type. */
export const RAW_BODIES = ['/v1/uploads']

const tags = ['Media']
const bytes = { schema: { type: 'string', format: 'binary' } } as const
const content = { '*/*': bytes }
const contentResponses = {
  200: { description: 'The file', content },
  206: { description: 'The part that was asked for', content },
  304: { description: 'The client has it already' },
}

export const mediaRoutes = (deps: DownloadDeps & ResumableDeps & { access: AccessOptions }) =>
  new Elysia({ normalize: false })
    .wrap(headAsGet)
    .use(access(deps.access))
    .post(
      '/v1/uploads',
      async ({ caller, request, query, set, status }) => {
        if (request.headers.has(TUS_HEADER)) return createResumable(deps, caller, request)
        const media = await uploadMedia(deps, caller, { request, filename: query.filename })
        set.headers.location = `/v1/media/${media.id}`
        return status(201, media)
      },
      {
        can: 'media.attach',
        parse: 'none',
        query: UploadQuery,
        response: { 201: Media },
        detail: {
          operationId: 'uploadMedia',
          summary: 'Upload a file in one request; with Tus-Resumable, begin a resumable upload',
          tags,
          requestBody: { required: true, content: { 'application/octet-stream': bytes } },
          ...refusals({
            409: 'There is no room left for it, or too many uploads have been begun and not finished',
            412: 'Another version of tus',
            460: 'The first part did not arrive as it was sent',
          }),
        },
      },
    )
    .get('/v1/media/:mediaId', ({ caller, params }) => getMedia(deps, caller, params.mediaId), {
      can: 'member',
      params: MediaParams,
      response: { 200: Media },
      detail: { operationId: 'getMedia', summary: 'Read what is known of a file', tags },
    })
    .delete(
      '/v1/media/:mediaId',
      async ({ caller, params, status }) => {
        await deleteMedia(deps, caller, params.mediaId)
        return status(204, undefined)
      },
      {
        can: 'member',
        params: MediaParams,
        response: { 204: Type.Void() },
        detail: {
          operationId: 'deleteMedia',
          summary: 'Delete a file of one’s own that no message carries',
          tags,
          ...refusals({ 409: 'A message carries the file, or it is shown as a picture' }),
        },
      },
    )
    .get(
      '/v1/media/:mediaId/content',
      ({ caller, params, query, request }) =>
        downloadMedia(deps, caller, { id: params.mediaId, headers: request.headers, variant: query.variant }),
      {
        can: 'member',
        params: MediaParams,
        query: MediaQuery,
        detail: {
          operationId: 'downloadMedia',
          summary: 'Download a file, a range of it, or a picture’s thumbnail',
          tags,
          responses: contentResponses,
          ...refusals({
            409: 'The picture is still being processed: come back in a moment',
            412: 'The file is not the one that was meant by If-Match or If-Unmodified-Since',
            416: 'The range lies outside the file',
          }),
        },
      },
    )
