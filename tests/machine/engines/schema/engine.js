'use strict'
// Prisma's own schema engine, compiled to WebAssembly, on connections of the pg driver.

const { PrismaPg } = require('@prisma/adapter-pg')
const { bindMigrationAwareSqlAdapterFactory } = require('@prisma/driver-adapter-utils')
const { connect } = require('../lib/connection')
const { PrismaError, fromDriver } = require('../lib/errors')
const { instantiate } = require('../lib/wasm')

// The engine's random numbers: Debian 12's Node.js 18 has them in a module only.
globalThis.crypto ??= require('node:crypto').webcrypto
// Where the engine leaves what it panics about.
globalThis.PRISMA_WASM_PANIC_REGISTRY = {
  set_message(message) {
    throw new Error(message)
  },
}

const BINDINGS = '@prisma/schema-engine-wasm/schema_engine_bg'
const ADVISORY_LOCK = /\bpg_advisory_lock\(/
const MIGRATION_NAME = /migration_name="([^"]+)"/

// What the adapter lacks of what the native engine does with its connection.
class Connections extends PrismaPg {
  failed = null
  adapters = []
  clients = []

  async connect() {
    const adapter = await super.connect()
    this.adapters.push(adapter)
    adapter.underlyingDriver().on('connect', (client) => this.clients.push(client))
    const executeRaw = adapter.executeRaw.bind(adapter)
    adapter.executeRaw = async (query) =>
      withoutLock() && ADVISORY_LOCK.test(query.sql) ? 0 : executeRaw(query)
    // An adapter cuts a script at each semicolon, also at those of a function's body.
    adapter.executeScript = async (script) => {
      await adapter.underlyingDriver().query(script).catch((error) => {
        this.failed = error
        adapter.onError(error)
      })
    }
    return adapter
  }

  // Also while the server still lets a statement wait, for a lock say, that the engine has given up.
  async close() {
    for (const client of this.clients) client.connection.stream.destroy()
    await Promise.all(this.adapters.map((adapter) => adapter.dispose()))
  }
}

// The engine can't read the environment from within WebAssembly.
function withoutLock() {
  return ['1', 'true'].includes(process.env.PRISMA_SCHEMA_DISABLE_ADVISORY_LOCK)
}

async function load() {
  const bindings = await import(BINDINGS)
  const file = require.resolve(BINDINGS).replace(/\.js$/, '.wasm')
  const exports = await instantiate(file, './schema_engine_bg.js', bindings)
  exports.__wbindgen_start()
  return bindings.SchemaEngine
}

// Once for all that one run of the CLI asks for.
let loaded = null

// Run `work(engine)` on the database at `url`; its errors are Prisma's.
async function withEngine(url, work) {
  // First by ourselves: an adapter's errors do not say to which server, and as whom.
  const { pool, target, config } = await connect(url)
  await pool.end()
  const connections = new Connections({ ...config, max: 1 }, { schema: target.schema })
  try {
    const SchemaEngine = await (loaded ??= load())
    const adapters = bindMigrationAwareSqlAdapterFactory(connections)
    return await work(await SchemaEngine.new({ datamodels: undefined }, () => {}, adapters))
  } catch (error) {
    throw asNative(error, connections.failed, target)
  } finally {
    await connections.close()
  }
}

// The engine has Prisma's numbers for what it has found itself. What the server refuses reaches it
// without the server's number, and so without P3018.
function asNative(error, refusal, target) {
  if (error.code) return new PrismaError(error.code, error.message)
  const [, migration] = error.message.match(MIGRATION_NAME) ?? []
  if (!refusal?.severity || !migration) {
    return refusal && !refusal.severity ? fromDriver(refusal, target) : new PrismaError(null, error.message)
  }
  return new PrismaError(
    'P3018',
    'A migration failed to apply. New migrations cannot be applied before the error is ' +
      'recovered from. Read more about how to resolve migration issues in a production ' +
      `database: https://pris.ly/d/migrate-resolve\n\nMigration name: ${migration}\n\n` +
      `Database error code: ${refusal.code}\n\nDatabase error:\nERROR: ${refusal.message}`,
    {
      migration_name: migration,
      database_error_code: refusal.code,
      database_error: refusal.message,
    },
  )
}

module.exports = { withEngine }
