import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'

type Texts = { title: string; form: string }

const VERIFY_EMAIL: Texts = {
  title: 'Verify your email address',
  form: `<form id="verifyEmail" hidden novalidate>
<p>You were sent here by a mail to your address. If you asked for it, say so:</p>
<button>Verify my address</button>
</form>`,
}

const secret = (id: string, label: string, hint = '') => `<label for="${id}">${label}</label>
${hint && `<p id="${id}-hint" class="hint">${hint}</p>\n`}<input id="${id}" class="secret" type="password"
 autocomplete="new-password" autocapitalize="none" spellcheck="false" required
 aria-describedby="${hint && `${id}-hint `}${id}-fault">
<p id="${id}-fault" class="fault"></p>`

const RESET_PASSWORD: Texts = {
  title: 'Set a new password',
  form: `<form id="resetPassword" hidden novalidate>
<p>With a new password you are logged out everywhere.</p>
${secret('password', 'New password', 'At least 8 characters')}
${secret('repeated', 'New password, once more')}
<label class="check"><input id="show" type="checkbox"> Show what I type</label>
<button>Set the password</button>
</form>`,
}

const read = (file: string) => readFileSync(new URL(file, import.meta.url), 'utf8')
const hash = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`

/** Where the links in mails lead, for servers without a web client of their own. */
export function createPages() {
  const style = read('./page.css')
  const script = read('./page.js')
  const headers = {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    'cross-origin-opener-policy': 'same-origin',
    'content-security-policy': [
      "default-src 'none'",
      `script-src ${hash(script)}`,
      `style-src ${hash(style)}`,
      "connect-src 'self'",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ].join('; '),
  }

  const page = ({ title, form }: Texts) => {
    const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${style}</style>
</head>
<body>
<main>
<p id="server" dir="auto"></p>
<h1>${title}</h1>
<noscript><p>This page needs JavaScript. Without it, give your app the code from the mail.</p></noscript>
${form}
<p id="outcome" role="status" aria-live="polite" tabindex="-1"></p>
</main>
<script type="module">${script}</script>
</body>
</html>
`
    return () => new Response(html, { headers })
  }

  return { verifyEmail: page(VERIFY_EMAIL), resetPassword: page(RESET_PASSWORD) }
}
