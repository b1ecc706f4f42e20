export { addressFault, placeholder } from './listen.ts'
export * from './run.ts'
export {
  databaseSettings,
  MasterKeySetting,
  masterKeysOf,
  withPassword,
} from './settings.ts'
export * from './transport/index.ts'
export { Stopped, untilThere } from './waiting.ts'
