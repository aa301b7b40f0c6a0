'use strict'
// A Prisma connection URL, and the pool of connections it stands for:
// https://www.prisma.io/docs/orm/overview/databases/postgresql#connection-url

const fs = require('node:fs')
const { Pool } = require('pg')
const { PrismaError, fromDriver } = require('./errors')

const INVALID = 'The provided database string is invalid.'

function parseUrl(text) {
  let url
  try {
    url = new URL(text)
  } catch (error) {
    throw new PrismaError('P1013', `${INVALID} ${error.message} in database URL.`)
  }
  if (!['postgresql:', 'postgres:'].includes(url.protocol)) {
    throw new PrismaError('P1013', `${INVALID} The scheme is not recognized in database URL.`)
  }
  const options = url.searchParams
  return {
    host: options.get('host') || url.hostname.replace(/^\[|\]$/g, '') || 'localhost',
    port: Number(url.port || 5432),
    user: decodeURIComponent(url.username) || 'postgres',
    password: decodeURIComponent(url.password),
    database: decodeURIComponent(url.pathname.slice(1)) || 'postgres',
    schema: options.get('schema') || 'public',
    sslmode: options.get('sslmode') || 'prefer',
    sslaccept: options.get('sslaccept') || 'accept_invalid_certs',
    sslcert: options.get('sslcert'),
    connectionLimit: Number(options.get('connection_limit') || 5),
    poolSeconds: Number(options.get('pool_timeout') || 10),
    connectSeconds: Number(options.get('connect_timeout') || 5),
  }
}

function tlsOptions(target) {
  const tls = { rejectUnauthorized: target.sslaccept === 'strict' }
  if (target.sslcert) tls.ca = fs.readFileSync(target.sslcert, 'utf8')
  return tls
}

function openPool(target, ssl) {
  const pool = new Pool({
    host: target.host,
    port: target.port,
    user: target.user,
    password: target.password,
    database: target.database,
    options: `-c search_path="${target.schema}"`,
    ssl,
    max: target.connectionLimit,
    connectionTimeoutMillis: 1000 * Math.max(target.connectSeconds, target.poolSeconds),
  })
  // A connection that dies while idle is replaced; without a listener it would end the process.
  pool.on('error', () => {})
  return pool
}

async function tryConnection(pool) {
  const client = await pool.connect()
  client.release()
}

// Connect once, so that a bad URL, password or host shows at once, and return the pool.
// Prisma knows three sslmodes and takes any other for `prefer`: TLS if the server has it.
async function connect(text) {
  const target = parseUrl(text)
  let pool = openPool(target, target.sslmode === 'disable' ? false : tlsOptions(target))
  try {
    try {
      await tryConnection(pool)
    } catch (error) {
      if (target.sslmode === 'require' || !/does not support SSL/.test(error.message)) throw error
      await pool.end()
      pool = openPool(target, false)
      await tryConnection(pool)
    }
  } catch (error) {
    throw fromDriver(error, target)
  }
  return { pool, target }
}

module.exports = { connect }
