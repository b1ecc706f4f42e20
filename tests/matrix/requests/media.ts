import { TUS } from '../caller.ts'
import { Raw } from '../send.ts'
import type { GoodRequests } from './good.ts'

const A_PART = 'bytes'

/** Files, and those on their way. */
export const mediaRequests: GoodRequests = {
  uploadMedia: () => ({
    query: { filename: 'a.txt' },
    body: new Raw('bytes'),
    headers: { 'content-type': 'application/octet-stream' },
  }),
  getMedia: ({ media }) => ({ path: { mediaId: media.kept.id } }),
  downloadMedia: ({ media }) => ({ path: { mediaId: media.kept.id } }),
  deleteMedia: async ({ upload, owner }) => ({ path: { mediaId: (await upload(owner.token)).id } }),
  getUpload: ({ media }) => ({ path: { uploadId: media.begun }, headers: TUS }),
  continueUpload: async ({ beginUpload, owner }) => ({
    path: { uploadId: await beginUpload(owner.token, A_PART.length) },
    body: new Raw(A_PART),
    headers: { ...TUS, 'upload-offset': '0', 'content-type': 'application/offset+octet-stream' },
  }),
  abandonUpload: async ({ beginUpload, owner }) => ({
    path: { uploadId: await beginUpload(owner.token, A_PART.length) },
    headers: TUS,
  }),
}
