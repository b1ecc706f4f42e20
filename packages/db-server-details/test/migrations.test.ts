import { fileURLToPath } from 'node:url'
import { testMigrations } from '@conntext/database/testing'
import * as schema from '../src/schema.ts'

testMigrations(schema, fileURLToPath(new URL('../migrations', import.meta.url)))
