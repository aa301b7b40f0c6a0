'use strict'
// A Prisma connection URL, and the pool of connections it stands for:
// https://www.prisma.io/docs/orm/overview/databases/postgresql#connection-url

const fs = require('node:fs')
const { Client, Pool } = require('pg')
const { PrismaError, fromDriver } = require('./errors')

const INVALID = 'The provided database string is invalid.'
const SYSTEM_CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt'
const TEXT = 25
const AS_TEXT = new Set([18, 19])
const FIRST_CERTIFICATE = /-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----/s

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
    // Not decoded: Prisma does that since its release of 2026 only (prisma-engines #5750).
    database: url.pathname.split('/')[1] || 'postgres',
    schema: options.get('schema') || 'public',
    pgbouncer: options.get('pgbouncer') === 'true',
    sslmode: options.get('sslmode') || 'prefer',
    sslaccept: options.get('sslaccept') || 'accept_invalid_certs',
    sslcert: options.get('sslcert'),
    connectionLimit: Number(options.get('connection_limit') || 5),
    poolSeconds: Number(options.get('pool_timeout') || 10),
    connectSeconds: Number(options.get('connect_timeout') || 5),
  }
}

// The file of `sslcert` holds one certificate, which is trusted beside the system's.
function tlsOptions(target) {
  const tls = { rejectUnauthorized: target.sslaccept === 'strict', host: target.host }
  if (!tls.rejectUnauthorized) return tls
  tls.ca = [fs.readFileSync(SYSTEM_CERTIFICATES, 'utf8')]
  if (target.sslcert) tls.ca.push(firstCertificate(target.sslcert))
  return tls
}

function firstCertificate(file) {
  try {
    return fs.readFileSync(file, 'utf8').match(FIRST_CERTIFICATE)[0]
  } catch (error) {
    throw new PrismaError('P1011', `Error opening a TLS connection: cert file not found (${error.message})`)
  }
}

function poolConfig(target, ssl) {
  const searchPath = `search_path="${target.schema}"`
  return {
    Client: target.pgbouncer ? bouncerClient(`SET ${searchPath}`) : NamingClient,
    host: target.host,
    port: target.port,
    user: target.user,
    password: target.password,
    database: target.database,
    options: target.pgbouncer ? undefined : `-c ${searchPath}`,
    ssl,
    max: target.connectionLimit,
    connectionTimeoutMillis: 1000 * Math.max(target.connectSeconds, target.poolSeconds),
  }
}

function openPool(config) {
  const pool = new Pool(config)
  // A connection that dies while idle is replaced; without a listener it would end the process.
  pool.on('error', () => {})
  return pool
}

// The adapters do not know the types `name` and `"char"`, which a native engine reads as text.
class TextClient extends Client {
  _handleRowDescription(message) {
    for (const field of message.fields) {
      if (AS_TEXT.has(field.dataTypeID)) field.dataTypeID = TEXT
    }
    super._handleRowDescription(message)
  }
}

// PgBouncer refuses settings among the startup parameters: with `pgbouncer=true`, they follow.
function bouncerClient(settings) {
  return class extends TextClient {
    connect(done) {
      super.connect((error) => {
        if (error) done(error)
        else this.query(settings, done)
      })
    }
  }
}

// As Prisma does without `pgbouncer=true`: each statement is prepared once on each connection,
// under a name that its other connections use as well.
class NamingClient extends TextClient {
  names = new Map()

  query(statement, ...rest) {
    if (!statement?.text || statement.name) return super.query(statement, ...rest)
    const { text } = statement
    if (!this.names.has(text)) this.names.set(text, `s${this.names.size}`)
    return super.query({ ...statement, name: this.names.get(text) }, ...rest)
  }
}

async function tryConnection(pool) {
  const client = await pool.connect()
  client.release()
}

// Connect once, so that a bad URL, password or host shows at once, and return the pool and what it
// was made with.
// Prisma knows three sslmodes and takes any other for `prefer`: TLS if the server has it.
async function connect(text) {
  const target = parseUrl(text)
  let config = poolConfig(target, target.sslmode === 'disable' ? false : tlsOptions(target))
  let pool = openPool(config)
  try {
    try {
      await tryConnection(pool)
    } catch (error) {
      if (target.sslmode === 'require' || !/does not support SSL/.test(error.message)) throw error
      await pool.end()
      config = poolConfig(target, false)
      pool = openPool(config)
      await tryConnection(pool)
    }
  } catch (error) {
    throw fromDriver(error, target)
  }
  return { pool, target, config }
}

module.exports = { connect }
