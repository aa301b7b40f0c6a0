'use strict'
// Prisma's engines in WebAssembly.

const fs = require('node:fs')

// What the code in `file` exports, on the imports that it knows under the name `module`.
async function instantiate(file, module, bindings) {
  const { instance } = await WebAssembly.instantiate(fs.readFileSync(file), { [module]: bindings })
  bindings.__wbg_set_wasm(instance.exports)
  return instance.exports
}

module.exports = { instantiate }
