'use strict'
// Prisma's engines in WebAssembly. A run uses a small part of one, so that each function is
// compiled when it is called first.

const fs = require('node:fs')
const v8 = require('node:v8')

v8.setFlagsFromString('--wasm-lazy-compilation')

// What the code in `file` exports, on the imports that it knows under the name `module`.
async function instantiate(file, module, bindings) {
  const { instance } = await WebAssembly.instantiate(fs.readFileSync(file), { [module]: bindings })
  bindings.__wbg_set_wasm(instance.exports)
  return instance.exports
}

module.exports = { instantiate }
