// Runs in the pages that mails link to. What they carry stands after the `#`, and leaves here in a request's body alone.

const WAIT_MS = 30_000
const MIN_LENGTH = 8

const kinds = {
  verifyEmail: {
    route: '/v1/auth/email/verify',
    done: 'Your email address is verified. You can close this page.',
    wrong:
      'This link is wrong or no longer good: it works once, for 24 hours, and for the address that it was sent to. ' +
      'If you have used it already, there is nothing left to do. Otherwise ask for another mail in your app.',
  },
  resetPassword: {
    route: '/v1/auth/password/reset',
    done: 'Your new password is set, and wherever you were logged in, you are no longer. Log in with it in your app.',
    wrong:
      'This link is wrong or no longer good: it works once, and for 30 minutes. ' +
      'Ask for another mail where you log in.',
  },
}

const find = (id) => document.getElementById(id)
const form = document.querySelector('form')
const button = form.querySelector('button')
const outcome = find('outcome')
const kind = kinds[form.id]
const secrets = form.querySelectorAll('input.secret')
const [password, repeated] = secrets
let token
let isBusy = false

/** Takes the token out of the address bar, so that it is in no history, no bookmark and no photo of the screen. */
function takeToken() {
  token = new URLSearchParams(location.hash.slice(1)).get('token')
  history.replaceState(null, '', location.pathname)
  tell('', '')
  form.hidden = !token
  if (!token) tell('bad', 'This link is not whole. Open it from the mail again, or copy all of it.')
}

/** The outcome: `good`, `bad`, or neither for what is still under way. */
function tell(mood, text) {
  outcome.className = mood
  outcome.textContent = text
}

/** Nothing more can be done here: the form goes, and who was in it is taken to what came of it. */
function end(mood, text) {
  token = undefined
  form.reset()
  show(false)
  form.hidden = true
  tell(mood, text)
  outcome.focus()
}

function show(isShown) {
  for (const input of secrets) input.type = isShown ? 'text' : 'password'
}

function fault(input, text) {
  find(`${input.id}-fault`).textContent = text
  if (text) input.setAttribute('aria-invalid', 'true')
  else input.removeAttribute('aria-invalid')
}

/** Says at the first field that is wrong what is, and goes there; answers whether all are right. */
function arePasswordsRight() {
  fault(password, password.value.length < MIN_LENGTH ? `Choose at least ${MIN_LENGTH} characters.` : '')
  fault(repeated, password.value === repeated.value ? '' : 'This is not the same password.')
  const wrong = form.querySelector('[aria-invalid]')
  wrong?.focus()
  return wrong === null
}

function refusePassword({ code, title, detail }) {
  const reason = detail ?? (code === 'request.invalid' ? 'It takes 8 to 256 characters.' : title)
  fault(password, `The server does not take this password. ${reason}`)
  password.focus()
}

function inWords(seconds) {
  const [count, unit] = seconds < 60 ? [seconds, 'second'] : [Math.ceil(seconds / 60), 'minute']
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}

const send = (body) =>
  fetch(kind.route, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(WAIT_MS),
  })

async function settle(response) {
  const { status } = response
  if (status === 204) return end('good', kind.done)
  const problem = await response.json().catch(() => ({}))
  const isAboutToken = problem.errors?.some(({ path }) => path === '/body/token')
  if (status === 400 || (status === 422 && (!password || isAboutToken))) return end('bad', kind.wrong)
  tell('', '')
  if (status === 422) return refusePassword(problem)
  if (status !== 429) return tell('bad', 'The server does not answer as it should. Try again in a moment.')
  const seconds = Number(response.headers.get('retry-after'))
  tell('bad', `That was too often. Try again in ${seconds > 0 ? inWords(seconds) : 'a few minutes'}.`)
}

form.addEventListener('submit', async (event) => {
  event.preventDefault()
  if (isBusy || (password && !arePasswordsRight())) return
  isBusy = true
  button.setAttribute('aria-disabled', 'true')
  tell('', 'One moment …')
  try {
    await settle(await send(password ? { token, newPassword: password.value } : { token }))
  } catch {
    tell('bad', 'The server cannot be reached. See that you are online, and try again.')
  } finally {
    isBusy = false
    button.removeAttribute('aria-disabled')
  }
})

find('show')?.addEventListener('change', ({ target }) => show(target.checked))

// The same link opened once more in the same tab loads nothing anew.
addEventListener('hashchange', takeToken)
takeToken()

fetch('/v1/server')
  .then((response) => response.json())
  .then(({ name }) => {
    if (typeof name !== 'string') return
    find('server').textContent = name
    document.title += ` · ${name}`
  })
  .catch(() => {})
