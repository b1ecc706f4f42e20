import { defineErrors } from '@conntext/kernel'

export const mediaErrors = defineErrors('media', {
  notFound: { status: 404, title: 'No such file' },
  notOwner: { status: 403, title: "Somebody else's file" },
  published: { status: 409, title: 'The file is a picture that is being shown' },
  notAnImage: { status: 422, title: 'The file is not a picture' },
  imageTooLarge: { status: 422, title: 'The picture is too large' },
  attached: { status: 409, title: 'A message carries the file' },
  tooLarge: { status: 413, title: 'The file is too large' },
  quotaExceeded: { status: 409, title: 'There is no room left for it in what may be stored' },
  incomplete: { status: 400, title: 'The file did not arrive whole' },
  storeFull: { status: 503, title: 'There is no space left for files' },
  processing: { status: 409, title: 'The picture is still being processed' },
  noThumbnail: { status: 404, title: 'The file has no thumbnail' },
  changed: { status: 412, title: 'The file is not the one that was meant' },
  rangeNotSatisfiable: { status: 416, title: 'The range lies outside the file' },
})
