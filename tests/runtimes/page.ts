// A session in a page, which is spoken with through its global.
import { startSession } from './session.ts'

Object.assign(globalThis, { startSession })
