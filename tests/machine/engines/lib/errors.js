'use strict'
// Prisma's numbered errors: https://www.prisma.io/docs/orm/reference/error-reference

class PrismaError extends Error {
  constructor(code, message, meta = {}) {
    super(message)
    this.code = code
    this.meta = meta
  }

  // What Prisma calls a user-facing error; an unnumbered one has no error_code.
  toJSON() {
    if (!this.code) return { is_panic: false, message: this.message, backtrace: null }
    return { is_panic: false, message: this.message, meta: this.meta, error_code: this.code }
  }
}

const UNREACHABLE = new Set([
  'ECONNREFUSED', 'ECONNRESET', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOENT', 'ENOTFOUND', 'EAI_AGAIN',
  'EPIPE', 'ETIMEDOUT',
])

// An error of the pg driver as Prisma's error. `target` says what was connected to.
function fromDriver(error, target) {
  const { host, port, user, database } = target
  if (error.code === '28P01' || error.code === '28000') {
    return new PrismaError(
      'P1000',
      `Authentication failed against database server at \`${host}\`, the provided database ` +
        `credentials for \`${user}\` are not valid.\n\nPlease make sure to provide valid database ` +
        `credentials for the database server at \`${host}\`.`,
      { database_user: user, database_host: host },
    )
  }
  if (error.code === '3D000') {
    return new PrismaError(
      'P1003',
      `Database \`${database}\` does not exist on the database server at \`${host}:${port}\`.`,
      { database_name: database, database_host: host, database_port: port },
    )
  }
  if (error.code === '42501' && /for database/.test(error.message)) {
    return new PrismaError(
      'P1010',
      `User \`${user}\` was denied access on the database \`${database}\``,
      { database_user: user, database_name: database },
    )
  }
  if (UNREACHABLE.has(error.code) || /timeout|terminated/i.test(error.message)) {
    return new PrismaError(
      'P1001',
      `Can't reach database server at \`${host}\`:\`${port}\`\n\nPlease make sure your database ` +
        `server is running at \`${host}\`:\`${port}\`.`,
      { database_host: host, database_port: port },
    )
  }
  if (error.severity) return new PrismaError(null, `ERROR: ${error.message}`)
  return new PrismaError('P1011', `Error opening a TLS connection: ${error.message}`)
}

// End the process as a native engine does: the error as one JSON line, exit status 1.
function fail(error) {
  const shown = error instanceof PrismaError ? error : new PrismaError(null, String(error))
  process.stderr.write(`${JSON.stringify(shown)}\n`, () => process.exit(1))
}

module.exports = { PrismaError, fail, fromDriver }
