import { defineErrors } from '@conntext/kernel'

export const uploadErrors = defineErrors('upload', {
  notFound: { status: 404, title: 'No such upload' },
  wrongVersion: { status: 412, title: 'That version of tus is not spoken here' },
  lengthMissing: { status: 400, title: 'An upload says in Upload-Length how long it will be' },
  offsetMissing: { status: 400, title: 'A part says in Upload-Offset where it belongs' },
  badMetadata: { status: 400, title: 'Upload-Metadata could not be read' },
  badChecksum: { status: 400, title: 'Upload-Checksum could not be read' },
  wrongOffset: { status: 409, title: 'The part belongs elsewhere in the upload' },
  tooMany: { status: 409, title: 'Too many uploads have been begun and not finished' },
  finished: { status: 409, title: 'The upload is finished: it is a file now' },
  locked: { status: 423, title: 'Something is being added to the upload already' },
  checksumMismatch: { status: 460, title: 'The part did not arrive as it was sent' },
})
