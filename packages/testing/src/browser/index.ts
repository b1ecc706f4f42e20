export { CALL_FLAGS, servePage } from './calls.ts'
export { chromiumPath, type Page, startChromium } from './chromium.ts'
