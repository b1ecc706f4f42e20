import type { Bus } from '@conntext/bus'
import { auditFor, authPort, type MessagingPort, type SystemPort } from '@conntext/contracts'
import { KnownTime } from '@conntext/database'
import { authIdempotencyKeys, authKnownTime, type ServerDetails } from '@conntext/db-server-details'
import {
  type AccessOptions,
  baseApp,
  Guard,
  idempotency,
  MaintenanceGate,
  RefusalLog,
  type Service,
  servePort,
} from '@conntext/http'
import { idempotencyStore } from '@conntext/idempotency'
import { type Clock, type Logger, type RunningJob, startJob, systemClock } from '@conntext/kernel'
import { Keyring, type MasterKey } from '@conntext/keyring'
import type { Mailer } from '@conntext/mailer'
import type { Deliver } from '@conntext/outbox'
import { createAuthPort } from './authority/port.ts'
import { botRoutes } from './bots/routes.ts'
import { createBots } from './bots/service.ts'
import { createChanges } from './changes.ts'
import { createConfirmation } from './confirmation/confirmation.ts'
import { emailRoutes } from './email/routes.ts'
import { createEmailVerification, type EmailVerificationService } from './email/verification.ts'
import { makeReady } from './first-start.ts'
import { AccessTokens } from './keys/access-tokens.ts'
import { keyRoutes } from './keys/routes.ts'
import { authKeys } from './keys/sealed.ts'
import { createLoginCompletion } from './login/complete.ts'
import { loginRoutes } from './login/routes.ts'
import { createLogin } from './login/service.ts'
import { createOutgoingMail, type OutgoingMail } from './mail/outgoing.ts'
import { memberRoutes } from './members/routes.ts'
import { createMembers } from './members/service.ts'
import { membershipRoutes } from './membership/routes.ts'
import { createMembership, type Membership } from './membership/service.ts'
import { createSecondFactorCodes } from './mfa/codes.ts'
import { createFactorChanges } from './mfa/factor-changes.ts'
import { mfaRoutes } from './mfa/routes.ts'
import { createSecondStep } from './mfa/second-step.ts'
import { createBans } from './moderation/bans.ts'
import { BanExpiry } from './moderation/expiry.ts'
import { banRoutes, moderationRoutes } from './moderation/routes.ts'
import { createModeration } from './moderation/service.ts'
import { identityRoutes, oidcProviderRoutes, oidcRoutes } from './oidc/routes.ts'
import { createOidc, type OidcOptions } from './oidc/service.ts'
import { ownershipRoutes } from './ownership/routes.ts'
import { createOwnership } from './ownership/service.ts'
import { type WebAuthnOptions, webAuthnSettings } from './passkeys/ceremonies.ts'
import { createPasskeyLogin } from './passkeys/login.ts'
import { passkeyLoginRoutes, passkeyRoutes } from './passkeys/routes.ts'
import { createPasskeys } from './passkeys/service.ts'
import { defaultPasswordLimits } from './passwords/passwords.ts'
import { createPasswordResets, type PasswordResets } from './passwords/resets.ts'
import { passwordRoutes } from './passwords/routes.ts'
import { createPasswords } from './passwords/service.ts'
import { type SlotLimits, Slots } from './passwords/slots.ts'
import { permissionRoutes } from './permissions/routes.ts'
import { createPermissions } from './permissions/service.ts'
import { pruningJob } from './pruning.ts'
import { createRefusals, type Refusals } from './refusals.ts'
import { registrationRoutes } from './registration/routes.ts'
import { createRegistration } from './registration/service.ts'
import { roleRoutes } from './roles/routes.ts'
import { createRoles } from './roles/service.ts'
import { sessionRoutes } from './sessions/routes.ts'
import { createSessions } from './sessions/service.ts'
import { createThrottle, type Throttle } from './throttle/throttle.ts'
import { tokenRoutes } from './tokens/routes.ts'
import { createApiTokens } from './tokens/service.ts'
import { totpRoutes } from './totp/routes.ts'
import { createTotp } from './totp/service.ts'
import { createUserDeletion } from './users/deletion.ts'
import { createUserExport } from './users/export.ts'
import { userRoutes } from './users/routes.ts'
import { createUsers } from './users/service.ts'
import { createValidationTokens, type ValidationTokens } from './validation/tokens.ts'

export * from './settings.ts'

export type AuthServiceDependencies = {
  /** The Server Details database, opened as `conntext_auth`. */
  db: ServerDetails
  bus: Bus
  log: Logger
  clock?: Clock
  /** This machine's clock, of which it is found out whether it is to be believed. */
  machineNow?: () => Date
  /** All that is sealed or hashed here depends on it. */
  masterKey: MasterKey
  /** The one-time code that makes its bearer the owner; nothing once the server has one. */
  setupCode(): Promise<string | undefined>
  /** Called once, after the server got its owner. */
  onClaimed?(): Promise<void>
  system: Pick<SystemPort, 'reserveInvite' | 'releaseInvite' | 'registrationMode' | 'appendEvents' | 'ingestAudit'>
  messaging: Pick<
    MessagingPort,
    | 'deleteMessagesOf'
    | 'userDeleted'
    | 'publishImage'
    | 'withdrawImage'
    | 'contactsOf'
    | 'memberJoined'
    | 'writtenBy'
    | 'filesOf'
    | 'callsOf'
  >
  /** What services prove themselves with to each other. */
  credential: string
  /** Where people reach this server, without a path. */
  publicUrl: string
  mailer: Mailer
  /** How many passwords are hashed at once, and how many wait; a slot takes 19 MiB and a core for some 50 ms. */
  passwords?: SlotLimits
  oidc?: OidcOptions
  /** Where passkeys belong, where the public URL doesn't say it. */
  webauthn?: WebAuthnOptions
}

/** Accounts, sessions, roles and what follows from them: who somebody is and what they may do. */
export function createAuthService(deps: AuthServiceDependencies): Service & { guard: Guard } {
  const { db, bus, log, system, messaging, credential, clock = systemClock } = deps
  const keyring = new Keyring({ ...authKeys, db, masterKey: deps.masterKey, log })
  const tokens = new AccessTokens({ db, keyring, clock, log })
  const validation = createValidationTokens({ db, clock, keyring })
  const mail = createOutgoingMail({ db, mailer: deps.mailer, keyring, validation, clock, log })
  const topics = { mail: mail.deliver, passwordReset: (batch: Parameters<Deliver>[0]) => resets.handle(batch) }
  const changes = createChanges({ db, bus, log, keyring, system, messaging, topics })
  const refusalLog = new RefusalLog({
    audit: auditFor('auth'),
    clock,
    log,
    record: async (event) => {
      await changes.owe(db, { audit: [event] })
      await changes.settled()
    },
  })
  const refusals = createRefusals(refusalLog)
  const throttle = createThrottle({ db, clock, log, hash: keyring.hasher('login-failures') })
  const slots = new Slots(deps.passwords ?? defaultPasswordLimits())
  const mailing = { db, clock, changes, throttle, validation, mail, publicUrl: deps.publicUrl }
  const resets = createPasswordResets({ ...mailing, slots, keyring })
  const emails = createEmailVerification(mailing)
  const now = deps.machineNow
  const knownTime = new KnownTime({ db, table: authKnownTime, log, ...(now && { now }) })
  const expiry = new BanExpiry({ db, clock, changes, knownTime })
  const membership = createMembership({ db, clock, changes, expiry, throttle, log, system })
  const tokenHash = keyring.hasher('api-tokens')
  const port = createAuthPort({
    ...{ db, bus, mailer: deps.mailer, relay: changes.relay, clock, tokenHash, membership, knownTime },
  })
  const guard = new Guard({ auth: port, bus, log, clock })
  const jobs: RunningJob[] = []
  let endMeasuring = () => {}

  return {
    name: 'auth',
    guard,
    app: createApp(deps, {
      ...{ keyring, tokens, changes, refusals, guard, clock, throttle, expiry, membership },
      ...{ slots, validation, mail, resets, emails },
    }),
    port: servePort(authPort, port, { credential, log }),
    async start() {
      await makeReady(db, { keyring, tokens })
      keyring.start()
      await guard.start()
      changes.relay.start()
      refusalLog.start()
      endMeasuring = slots.measured()
      for (const job of [knownTime.job, knownTime.guard(pruningJob({ db, clock })), expiry.job])
        jobs.push(startJob(job, log))
    },
    async stop() {
      endMeasuring()
      await Promise.all([...jobs.splice(0).map((job) => job.stop()), refusalLog.stop()])
      await changes.relay.stop({ flush: true })
      await guard.stop()
      await keyring.stop()
    },
  }
}

type Parts = {
  keyring: Keyring
  tokens: AccessTokens
  changes: ReturnType<typeof createChanges>
  refusals: Refusals
  guard: Guard
  clock: Clock
  throttle: Throttle
  expiry: BanExpiry
  membership: Membership
  slots: Slots
  validation: ValidationTokens
  mail: OutgoingMail
  resets: PasswordResets
  emails: EmailVerificationService
}

function createApp(deps: AuthServiceDependencies, parts: Parts) {
  const { db, log } = deps
  const { keyring, clock, refusals, throttle, slots, validation } = parts
  const shared = { ...parts, db, log }
  const sessions = createSessions({
    ...shared,
    refreshHash: keyring.hasher('refresh-tokens'),
    successorKey: keyring.hasher('refresh-successors'),
  })
  const codes = createSecondFactorCodes(shared)
  const confirmation = createConfirmation({ ...shared, ...codes, throttle })
  const completion = createLoginCompletion({ ...shared, sessions, validation })
  const factors = createFactorChanges({ ...shared, codes })
  const webauthn = webAuthnSettings(deps.publicUrl, deps.webauthn)
  const secondStep = createSecondStep({ ...shared, throttle, validation, completion, codes })
  const registration = createRegistration({
    ...shared,
    throttle,
    slots,
    sessions,
    system: deps.system,
    verification: parts.emails,
    setupCode: () => deps.setupCode(),
    onClaimed: async () => deps.onClaimed?.(),
  })
  const oidc = createOidc({
    ...shared,
    validation,
    completion,
    confirmation,
    registration,
    maintenance: new MaintenanceGate({ guard: parts.guard, clock: shared.clock }),
    publicUrl: deps.publicUrl,
    oidc: deps.oidc,
  })
  const users = {
    users: createUsers({ ...shared, confirmation, verification: parts.emails, messaging: deps.messaging }),
    deletions: createUserDeletion({ ...shared, confirmation }),
    exports: createUserExport({ ...shared, sessions, messaging: deps.messaging }),
  }
  const options: AccessOptions = {
    guard: parts.guard,
    idempotency: idempotency({
      store: idempotencyStore({ db, table: authIdempotencyKeys, log }),
      key: () => keyring.deriveKey('idempotency'),
      log,
    }),
    refused: refusals.access,
  }
  return baseApp({ service: 'auth', log })
    .use(registrationRoutes(options, registration))
    .use(loginRoutes(options, createLogin({ ...shared, throttle, slots, sessions, completion })))
    .use(mfaRoutes(options, { db, secondStep }))
    .use(totpRoutes(options, createTotp({ ...shared, throttle, confirmation, factors })))
    .use(passkeyRoutes(options, createPasskeys({ ...shared, confirmation, factors, validation, webauthn })))
    .use(
      passkeyLoginRoutes(
        options,
        createPasskeyLogin({ ...shared, throttle, validation, completion, secondStep, webauthn }),
      ),
    )
    .use(sessionRoutes(options, sessions))
    .use(passwordRoutes(options, { passwords: createPasswords({ ...shared, confirmation }), resets: parts.resets }))
    .use(emailRoutes(options, parts.emails))
    .use(oidcRoutes(options, oidc))
    .use(oidcProviderRoutes(options, oidc.providers))
    .use(identityRoutes(options, oidc.identities))
    .use(keyRoutes(options, { db, clock }))
    .use(userRoutes(options, users))
    .use(memberRoutes(options, createMembers(shared)))
    .use(membershipRoutes(options, parts.membership))
    .use(moderationRoutes(options, createModeration(shared)))
    .use(banRoutes(options, createBans(shared)))
    .use(ownershipRoutes(options, createOwnership({ ...shared, confirmation })))
    .use(roleRoutes(options, createRoles(shared)))
    .use(permissionRoutes(options, createPermissions(shared)))
    .use(tokenRoutes(options, createApiTokens({ ...shared, confirmation, tokenHash: keyring.hasher('api-tokens') })))
    .use(botRoutes(options, createBots(shared)))
}
