import type { NewMail } from './outgoing.ts'

type Recipient = { username: string; email: string }

// After the `#`: what stands there is sent to no server, and ends in no log.
const link = (publicUrl: string, page: string, token: string) => `${publicUrl}/${page}#token=${token}`

export const passwordResetMail = (
  { username, email }: Recipient,
  { publicUrl, token }: { publicUrl: string; token: string },
): NewMail => ({
  to: email,
  subject: 'Set a new password',
  text: `Somebody, most likely you, asked to set a new password for the account ${username}.

To do so, follow this link within 30 minutes:
${link(publicUrl, 'reset-password', token)}

Or give your app this code:
${token}

If it was not you, there is nothing to do: without the code your password stays as it is.
`,
  token: { purpose: 'passwordReset', token },
})

export const verificationMail = (
  { username, email }: Recipient,
  { publicUrl, token }: { publicUrl: string; token: string },
): NewMail => ({
  to: email,
  subject: 'Verify your email address',
  text: `This address was given for the account ${username}.

If that is yours, follow this link within 24 hours:
${link(publicUrl, 'verify-email', token)}

Or give your app this code:
${token}

If it is not, there is nothing to do.
`,
  token: { purpose: 'emailVerification', token },
})

export const passwordChangedMail = ({ username, email }: Recipient): NewMail => ({
  to: email,
  subject: 'Your password was changed',
  text: `The password of the account ${username} was changed, and its other logins were ended.

If it was not you, set a new password at once: ask for it where you log in.
`,
})

export const emailChangedMail = ({ username, email }: Recipient): NewMail => ({
  to: email,
  subject: 'Your email address was changed',
  text: `The account ${username} goes by this address no more.

If it was not you, somebody can set a new password for it: tell whoever runs the server, who can give it back to you.
`,
})

export const recoveryCodeUsedMail = ({ username, email }: Recipient, left: number): NewMail => ({
  to: email,
  subject: 'A recovery code was used',
  text: `A recovery code was used in the place of the second factor of the account ${username}. Left: ${left}.

If it was not you, somebody has your recovery codes and more: log in, set a new password, and make new recovery codes.
`,
})
