'use strict'
// Migrations as Prisma keeps them: a folder each with a migration.sql, and a row each in the
// table _prisma_migrations: https://www.prisma.io/docs/orm/prisma-migrate/understanding-prisma-migrate

const { createHash, randomUUID } = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')
const { PrismaError, fromDriver } = require('./errors')

const ADVISORY_LOCK = 72707369
const LOCK_SECONDS = 10
const CREATE_TABLE = `
  CREATE TABLE _prisma_migrations (
    id                  VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum            VARCHAR(64) NOT NULL,
    finished_at         TIMESTAMPTZ,
    migration_name      VARCHAR(255) NOT NULL,
    logs                TEXT,
    rolled_back_at      TIMESTAMPTZ,
    started_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count INTEGER NOT NULL DEFAULT 0
  )`

function listMigrations(directory) {
  return fs
    .readdirSync(directory)
    .filter((name) => fs.existsSync(path.join(directory, name, 'migration.sql')))
    .sort()
}

function readMigration(directory, name) {
  const sql = fs.readFileSync(path.join(directory, name, 'migration.sql'), 'utf8')
  return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') }
}

// Apply what is not applied yet, in order; return the names of what was.
async function applyMigrations(client, target, directory) {
  try {
    await lock(client, target)
    await ensureTable(client, target)
    const recorded = await recordedMigrations(client)
    refuseFailed(recorded)
    const applied = new Set(recorded.filter((row) => row.finished_at).map((row) => row.migration_name))
    const pending = listMigrations(directory).filter((name) => !applied.has(name))
    for (const name of pending) await applyOne(client, readMigration(directory, name))
    return pending
  } catch (error) {
    throw error instanceof PrismaError ? error : fromDriver(error, target)
  }
}

// The lock belongs to the session: through a PgBouncer in transaction mode it stays with a server
// connection that others get next, which is what the variable is for.
async function lock(client, target) {
  if (['1', 'true'].includes(process.env.PRISMA_SCHEMA_DISABLE_ADVISORY_LOCK)) return
  let timer
  const tooLong = new Promise((_, reject) => {
    timer = setTimeout(() => {
      client.connection.stream.destroy()
      reject(lockTimeout(target))
    }, 1000 * LOCK_SECONDS)
  })
  const locked = client.query('SELECT pg_advisory_lock($1)', [ADVISORY_LOCK])
  await Promise.race([locked, tooLong]).finally(() => clearTimeout(timer))
}

function lockTimeout({ host, port }) {
  return new PrismaError(
    'P1002',
    `The database server at \`${host}\`:\`${port}\` was reached but timed out.\n\nPlease try again.` +
      '\n\nContext: Timed out trying to acquire a postgres advisory lock (SELECT pg_advisory_lock' +
      `(${ADVISORY_LOCK})). Elapsed: ${1000 * LOCK_SECONDS}ms.`,
    { database_host: host, database_port: port },
  )
}

async function ensureTable(client, target) {
  const { rows } = await client.query(
    `SELECT table_name FROM information_schema.tables WHERE table_schema = $1`,
    [target.schema],
  )
  if (rows.some((row) => row.table_name === '_prisma_migrations')) return
  if (rows.length) {
    throw new PrismaError(
      'P3005',
      'The database schema is not empty. Read more about how to baseline an existing production ' +
        'database: https://pris.ly/d/migrate-baseline',
    )
  }
  await client.query(CREATE_TABLE)
}

async function recordedMigrations(client) {
  const { rows } = await client.query(
    'SELECT * FROM _prisma_migrations WHERE rolled_back_at IS NULL ORDER BY started_at',
  )
  return rows
}

function refuseFailed(recorded) {
  const failed = recorded.filter((row) => !row.finished_at)
  if (!failed.length) return
  const details = failed
    .map((row) => `The \`${row.migration_name}\` migration started at ${row.started_at.toISOString()} failed`)
    .join('\n')
  throw new PrismaError(
    'P3009',
    'migrate found failed migrations in the target database, new migrations will not be applied. ' +
      'Read more about how to resolve migration issues in a production database: ' +
      `https://pris.ly/d/migrate-resolve\n${details}`,
    { details },
  )
}

async function applyOne(client, { name, sql, checksum }) {
  const id = randomUUID()
  await client.query(
    'INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ($1, $2, $3)',
    [id, checksum, name],
  )
  try {
    await client.query(sql)
  } catch (error) {
    await client.query('UPDATE _prisma_migrations SET logs = $2 WHERE id = $1', [id, error.message])
    throw new PrismaError(
      'P3018',
      'A migration failed to apply. New migrations cannot be applied before the error is ' +
        'recovered from. Read more about how to resolve migration issues in a production ' +
        `database: https://pris.ly/d/migrate-resolve\n\nMigration name: ${name}\n\n` +
        `Database error code: ${error.code}\n\nDatabase error:\nERROR: ${error.message}`,
      { migration_name: name, database_error_code: error.code, database_error: error.message },
    )
  }
  await client.query(
    'UPDATE _prisma_migrations SET finished_at = now(), applied_steps_count = 1 WHERE id = $1',
    [id],
  )
}

async function markApplied(client, directory, name) {
  const recorded = (await recordedMigrations(client)).filter((row) => row.migration_name === name)
  if (recorded.some((row) => row.finished_at)) {
    const message = `The migration \`${name}\` is already recorded as applied in the database.`
    throw new PrismaError('P3008', message, { migration_name: name })
  }
  const { checksum } = readMigration(directory, name)
  await setRolledBack(client, name)
  await client.query(
    `INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at)
     VALUES ($1, $2, $3, now(), now())`,
    [randomUUID(), checksum, name],
  )
}

async function markRolledBack(client, name) {
  const recorded = (await recordedMigrations(client)).filter((row) => row.migration_name === name)
  if (!recorded.length) {
    const message = `Migration \`${name}\` cannot be rolled back because it was never applied to the database.`
    throw new PrismaError('P3011', message, { migration_name: name })
  }
  if (recorded.every((row) => row.finished_at)) {
    const message = `Migration \`${name}\` cannot be rolled back because it is not in a failed state.`
    throw new PrismaError('P3012', message, { migration_name: name })
  }
  await setRolledBack(client, name)
}

async function setRolledBack(client, name) {
  await client.query(
    `UPDATE _prisma_migrations SET rolled_back_at = now()
     WHERE migration_name = $1 AND finished_at IS NULL AND rolled_back_at IS NULL`,
    [name],
  )
}

module.exports = { applyMigrations, listMigrations, markApplied, markRolledBack }
