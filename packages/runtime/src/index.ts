export { addressFault, placeholder } from './listen.ts'
export * from './run.ts'
export {
  addressSettings,
  databaseSettings,
  listenerSettings,
  MasterKeySetting,
  masterKeysOf,
  type Neighbour,
  processSettings,
  withPassword,
} from './settings.ts'
export * from './transport/index.ts'
export { Stopped, untilThere } from './waiting.ts'
