'use strict'

const { connect } = require('./connection')

// Run `work(client, target)` on one connection, and close it.
async function withClient(url, work) {
  const { pool, target } = await connect(url)
  const client = await pool.connect()
  try {
    return await work(client, target)
  } finally {
    client.release()
    await pool.end()
  }
}

// Create the database that `url` names, from the maintenance database `postgres`.
async function createDatabase(url) {
  const maintenance = new URL(url)
  const database = maintenance.pathname.split('/')[1]
  maintenance.pathname = '/postgres'
  await withClient(maintenance.toString(), (client) =>
    client.query(`CREATE DATABASE ${client.escapeIdentifier(database)}`),
  )
}

module.exports = { createDatabase }
