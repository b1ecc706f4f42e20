import { S3Error } from 'minio'
import { ObjectStoreError, ObjectStoreFull, ObjectStoreRefused, ObjectStoreUnavailable } from '../errors.ts'

/** The store said no, with this code of S3's. */
export class S3Answer extends ObjectStoreUnavailable {
  constructor(readonly answer: string) {
    super(`The object store answered ${answer}`)
  }
}

const full = new Set(['QuotaExceeded', 'XMinioStorageFull', 'XMinioAdminBucketQuotaExceeded', 'InsufficientStorage'])

/** What the client threw, as one of this package's errors. An answer's text is dropped: it may quote the request. */
export function toStoreError(error: unknown): unknown {
  if (error instanceof ObjectStoreError) return error
  const code = error instanceof Error && 'code' in error ? String(error.code) : undefined
  if (error instanceof S3Error) return full.has(code ?? '') ? new ObjectStoreFull() : new S3Answer(code ?? 'an error')
  if (code === undefined)
    return new ObjectStoreUnavailable('The object store does not answer as it should', { cause: error })
  return new ObjectStoreUnavailable(`The object store can't be reached (${code})`, { cause: error })
}

/** Whether the store answered one of these codes. */
export const isAnswer = (error: unknown, ...codes: string[]): boolean =>
  error instanceof S3Answer && codes.includes(error.answer)

const reasons: Record<string, ObjectStoreRefused['reason']> = {
  InvalidAccessKeyId: 'credentials',
  SignatureDoesNotMatch: 'credentials',
  AccessDenied: 'credentials',
  Forbidden: 'credentials',
  AccountProblem: 'credentials',
  BucketAlreadyExists: 'bucket',
  InvalidBucketName: 'bucket',
  TooManyBuckets: 'bucket',
  AuthorizationHeaderMalformed: 'region',
  InvalidLocationConstraint: 'region',
  IllegalLocationConstraintException: 'region',
  InvalidRegion: 'region',
  PermanentRedirect: 'region',
}

/** An answer that only the operator can do something about; anything else stays what it is. */
export function asRefusal(error: unknown): unknown {
  const reason = error instanceof S3Answer ? reasons[error.answer] : undefined
  return reason && error instanceof S3Answer ? new ObjectStoreRefused(reason, error.answer) : error
}
