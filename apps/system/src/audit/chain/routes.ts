import {
  AuditCheckpoint,
  AuditConsistency,
  AuditConsistencyQuery,
  AuditKeys,
  AuditProof,
  AuditVerification,
  AuditVerificationRequest,
  IdParams,
} from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import { type AccessOptions, access } from '@conntext/http'
import { Elysia } from 'elysia'
import type { AuditDeps } from '../service.ts'
import { consistencyProof, latestCheckpoint, publicKeys } from './checkpoints.ts'
import { eventProof } from './proofs.ts'
import { askVerification, getVerification } from './verifications.ts'

const tags = ['Audit']

export type ProofDeps = AuditDeps & { db: ServerDetails }

export const proofRoutes = (deps: ProofDeps, options: AccessOptions) =>
  new Elysia({ normalize: false })
    .use(access(options))
    .get('/v1/audit/keys', () => publicKeys(deps.db), {
      public: true,
      response: { 200: AuditKeys },
      detail: { operationId: 'getAuditKeys', summary: 'The public keys that sign the audit log', tags },
    })
    .get('/v1/audit/checkpoint', () => latestCheckpoint(deps.db), {
      can: 'audit.view',
      response: { 200: AuditCheckpoint },
      detail: {
        operationId: 'getAuditCheckpoint',
        summary: 'What the audit log is now, signed, to keep elsewhere',
        tags,
      },
    })
    .get(
      '/v1/audit/consistency',
      ({ query }) =>
        consistencyProof(deps.db, Number(query.first), query.second === undefined ? undefined : Number(query.second)),
      {
        can: 'audit.view',
        query: AuditConsistencyQuery,
        response: { 200: AuditConsistency },
        detail: {
          operationId: 'getAuditConsistency',
          summary: 'Proves that one checkpoint is the beginning of another',
          tags,
        },
      },
    )
    .get('/v1/audit/events/:id/proof', ({ caller, params }) => eventProof(deps, caller, params.id), {
      can: 'audit.view',
      params: IdParams,
      response: { 200: AuditProof },
      detail: { operationId: 'getAuditProof', summary: 'Proves that an event is in the audit log, unchanged', tags },
    })
    .post(
      '/v1/audit/verify',
      async ({ caller, body, status }) => status(202, await askVerification(deps.db, body, caller)),
      {
        can: 'audit.view',
        parse: 'json',
        body: AuditVerificationRequest,
        response: { 202: AuditVerification },
        detail: {
          operationId: 'verifyAudit',
          summary: 'Has the audit log recomputed, and compared with what is stored',
          tags,
        },
      },
    )
    .get('/v1/audit/verifications/:id', ({ params }) => getVerification(deps.db, params.id), {
      can: 'audit.view',
      params: IdParams,
      response: { 200: AuditVerification },
      detail: { operationId: 'getAuditVerification', summary: 'How far a verification is, and what it found', tags },
    })
