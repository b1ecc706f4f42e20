import { defineErrors } from '@conntext/kernel'

export const backupErrors = defineErrors('backup', {
  notFound: { status: 404, title: 'No such backup' },
  notConfigured: { status: 409, title: 'The settings do not say how backups are encrypted, or where they go' },
  busy: { status: 409, title: 'A backup is already under way' },
  notDone: { status: 409, title: 'The backup is not there yet, or could not be made' },
  changed: { status: 412, title: 'The file is not the one that was meant' },
  rangeNotSatisfiable: { status: 416, title: 'The range lies outside the file' },
  gone: { status: 410, title: 'The file of the backup is no longer where backups are kept' },
})
