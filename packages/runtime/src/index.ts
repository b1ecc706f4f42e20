export { createRegistry } from './figures.ts'
export { Lifecycle } from './lifecycle.ts'
export { addressFault, placeholder } from './listen.ts'
export * from './run.ts'
export {
  addressSetting,
  addressSettings,
  credentialsOf,
  databaseSettings,
  listenerSettings,
  MasterKeySetting,
  masterKeysOf,
  NEIGHBOURS,
  type Neighbour,
  processSettings,
  urlsOf,
  withPassword,
} from './settings.ts'
export * from './transport/index.ts'
export { Stopped, untilThere } from './waiting.ts'
