'use strict'
// The JSON-RPC methods that the Prisma CLI asks a native schema engine for, as the one in
// WebAssembly has them: it reads no files, so they are read here.

const fs = require('node:fs')
const path = require('node:path')
const { PrismaError } = require('../lib/errors')
const { withEngine } = require('./engine')

const DATABASES = ['url', 'schemaDatasource']
const DATASOURCE = 'datasource db {\n  provider = "postgresql"\n  url = env("DATABASE_URL")\n}\n'
// Tables that are somebody else's: an engine of the CLI's release knows of none.
const FILTERS = { externalTables: [], externalEnums: [] }

const METHODS = {
  ensureConnectionValidity: (params, { url }) => withEngine(url, () => ({})),

  getDatabaseVersion: (params, { url }) => withEngine(url, (engine) => engine.version()),

  listMigrationDirectories: ({ migrationsDirectoryPath }) => ({
    migrations: names(migrationsDirectoryPath),
  }),

  applyMigrations: ({ migrationsDirectoryPath }, { url }) =>
    withEngine(url, (engine) => engine.applyMigrations(withList(migrationsDirectoryPath))),

  diagnoseMigrationHistory: ({ migrationsDirectoryPath, optInToShadowDatabase }, { url }) =>
    withEngine(url, (engine) =>
      engine.diagnoseMigrationHistory({
        ...withList(migrationsDirectoryPath),
        optInToShadowDatabase,
      }),
    ),

  markMigrationApplied: ({ migrationsDirectoryPath, migrationName }, { url }) =>
    withEngine(url, (engine) =>
      engine.markMigrationApplied({ ...withList(migrationsDirectoryPath), migrationName }),
    ),

  markMigrationRolledBack: ({ migrationName }, { url }) =>
    withEngine(url, (engine) => engine.markMigrationRolledBack({ migrationName })),

  schemaPush: ({ force, schema }, { url, schemaPath }) =>
    withEngine(url, (engine) =>
      engine.schemaPush({ force, schema: files(schemaPath, schema), filters: FILTERS }),
    ),

  dbExecute: async ({ datasourceType: { url, schema }, script }, { datasourceUrl }) => {
    const datasourceType = { tag: 'url', url: url ?? datasourceUrl(schema) }
    await withEngine(datasourceType.url, (engine) => engine.dbExecute({ datasourceType, script }))
    return null
  },

  // It has one connection, to the side that is a database; where none is, to what the gateway has.
  diff: async ({ from, to, script, exitCode }, { datasourceUrl, print }) => {
    const database = [from, to].find(({ tag }) => DATABASES.includes(tag))
    const url = database ? database.url ?? datasourceUrl(database.schema) : process.env.DATABASE_URL
    const asked = { from: target(from), to: target(to), script, exitCode: exitCode ?? null }
    const result = await withEngine(url, (engine) =>
      engine.diff({ ...asked, shadowDatabaseUrl: null, filters: FILTERS }),
    )
    print(result.stdout ?? '')
    return { exitCode: result.exitCode }
  },
}

// One side of a comparison.
function target({ tag, schema }) {
  if (tag === 'empty') return { tag }
  if (tag === 'schemaDatamodel') return { tag, ...files(schema) }
  // A folder of migrations would need a database of its own, which LiteLLM never asks for.
  if (!DATABASES.includes(tag)) throw new PrismaError(null, `${tag} can't be compared here`)
  return { tag: 'schemaDatasource', ...files('datasource.prisma', DATASOURCE), configDir: '/' }
}

function files(file, content = fs.readFileSync(file, 'utf8')) {
  return { files: [{ path: file, content }] }
}

function withList(folder) {
  return { migrationsList: list(folder), filters: FILTERS }
}

function list(folder) {
  const lock = 'migration_lock.toml'
  const content = fs.existsSync(path.join(folder, lock))
    ? fs.readFileSync(path.join(folder, lock), 'utf8')
    : null
  return {
    baseDir: folder,
    lockfile: { path: lock, content },
    shadowDbInitScript: '',
    migrationDirectories: names(folder).map((name) => ({
      path: name,
      migrationFile: { path: 'migration.sql', content: { tag: 'ok', value: sql(folder, name) } },
    })),
  }
}

function names(folder) {
  return fs
    .readdirSync(folder)
    .filter((name) => fs.existsSync(path.join(folder, name, 'migration.sql')))
    .sort()
}

function sql(folder, name) {
  return fs.readFileSync(path.join(folder, name, 'migration.sql'), 'utf8')
}

module.exports = { METHODS }
