'use strict'
// The schema engine's JSON-RPC methods that the Prisma CLI's commands for deployment need.

const { withClient } = require('./database')
const { fromDriver } = require('./errors')
const { applyMigrations, listMigrations, markApplied, markRolledBack } = require('./migrations')

const METHODS = {
  async ensureConnectionValidity(params, { url }) {
    await withClient(url, () => {})
    return {}
  },

  async getDatabaseVersion(params, { url }) {
    return withClient(url, async (client) => (await client.query('SELECT version()')).rows[0].version)
  },

  async listMigrationDirectories({ migrationsDirectoryPath }) {
    return { migrations: listMigrations(migrationsDirectoryPath) }
  },

  async applyMigrations({ migrationsDirectoryPath }, { url }) {
    const names = await withClient(url, (client, target) =>
      applyMigrations(client, target, migrationsDirectoryPath),
    )
    return { appliedMigrationNames: names }
  },

  async markMigrationApplied({ migrationsDirectoryPath, migrationName }, { url }) {
    await withClient(url, (client) => markApplied(client, migrationsDirectoryPath, migrationName))
    return {}
  },

  async markMigrationRolledBack({ migrationName }, { url }) {
    await withClient(url, (client) => markRolledBack(client, migrationName))
    return {}
  },

  async dbExecute({ datasourceType, script }, { url }) {
    await withClient(datasourceType.url ?? url, async (client, target) => {
      await client.query(script).catch((error) => {
        throw fromDriver(error, target)
      })
    })
    return null
  },
}

module.exports = { METHODS }
