// Prints what `linkLibraries` returns. Arguments: package's native directory, directory for links.
import { linkLibraries } from '../../src/postgres/binaries.ts'

console.log(JSON.stringify(linkLibraries(process.argv[2]!, process.argv[3]!)))
