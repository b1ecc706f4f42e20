import { Upload, UploadParams } from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import { answerAsTus, assertVersion, capabilities, TUS_HEADER, TUS_VERSION } from './protocol.ts'
import {
  abandonUpload,
  beginUpload,
  continueUpload,
  type Progress,
  type ResumableDeps,
  readUpload,
  toUpload,
} from './service.ts'

const tags = ['Media']
const bytes = { schema: { type: 'string', format: 'binary' } } as const

export type UploadRoutesDeps = ResumableDeps & { access: AccessOptions }

/** `POST /v1/uploads` as tus has it; without that header the body is the whole file. */
export async function createResumable(
  deps: ResumableDeps,
  caller: Parameters<typeof beginUpload>[1],
  request: Request,
): Promise<Response> {
  assertVersion(request.headers)
  const begun = await beginUpload(deps, caller, request)
  const headers = { ...progressHeaders(begun), location: `/v1/uploads/${begun.row.id}` }
  return new Response(null, { status: 201, headers })
}

/** Resumable uploads, by tus 1.0. An upload becomes the file of the same id. */
export const uploadRoutes = (deps: UploadRoutesDeps) =>
  new Elysia({ normalize: false })
    .wrap(answerAsTus)
    .use(access(deps.access))
    .options(
      '/v1/uploads',
      async ({ set, status }) => {
        const { limits } = (await deps.guard.authority()).snapshot.server
        Object.assign(set.headers, capabilities(limits.maxFileBytes))
        return status(204, undefined)
      },
      {
        public: true,
        response: { 204: Type.Void() },
        detail: {
          operationId: 'getUploadCapabilities',
          summary: 'Read what resumable uploads can do here (tus)',
          tags,
        },
      },
    )
    .get(
      '/v1/uploads/:uploadId',
      async ({ caller, params, request, set }) => {
        // A tus client asks (by HEAD) because it is about to go on; others only want to know.
        const takeOver = request.headers.has(TUS_HEADER)
        const progress = await readUpload(deps, caller, { id: params.uploadId, takeOver })
        Object.assign(set.headers, progressHeaders(progress), { 'cache-control': 'no-store' })
        return toUpload(progress)
      },
      {
        can: 'media.attach',
        params: UploadParams,
        response: { 200: Upload },
        detail: {
          operationId: 'getUpload',
          summary: 'Read where an upload stands; by HEAD, its tus headers alone',
          tags,
          ...refusals({ 423: 'Something is still being added to the upload' }),
        },
      },
    )
    .patch(
      '/v1/uploads/:uploadId',
      async ({ caller, params, request, set, status }) => {
        assertVersion(request.headers)
        const progress = await continueUpload(deps, caller, { id: params.uploadId, request })
        Object.assign(set.headers, progressHeaders(progress))
        return status(204, undefined)
      },
      {
        can: 'media.attach',
        parse: 'none',
        params: UploadParams,
        response: { 204: Type.Void() },
        detail: {
          operationId: 'continueUpload',
          summary: 'Add a part to an upload (tus)',
          tags,
          requestBody: { required: true, content: { 'application/offset+octet-stream': bytes } },
          ...refusals({
            409: 'The part belongs elsewhere in the upload',
            412: 'Another version of tus',
            423: 'Something is being added to the upload already',
            460: 'The part did not arrive as it was sent',
          }),
        },
      },
    )
    .delete(
      '/v1/uploads/:uploadId',
      async ({ caller, params, request, status }) => {
        assertVersion(request.headers)
        await abandonUpload(deps, caller, params.uploadId)
        return status(204, undefined)
      },
      {
        can: 'media.attach',
        params: UploadParams,
        response: { 204: Type.Void() },
        detail: {
          operationId: 'abandonUpload',
          summary: 'Give an upload up (tus)',
          tags,
          ...refusals({
            409: 'The upload is finished: it is a file now',
            412: 'Another version of tus',
            423: 'Something is still being added to the upload',
          }),
        },
      },
    )

const progressHeaders = ({ row, offset }: Progress): Record<string, string> => ({
  'tus-resumable': TUS_VERSION,
  'upload-offset': String(offset),
  'upload-length': String(row.size),
  'upload-expires': row.expiresAt.toUTCString(),
  ...(row.metadata === null ? {} : { 'upload-metadata': row.metadata }),
})
