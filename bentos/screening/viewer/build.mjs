// Bundles src/ into dist/: run by build.py, in a folder that has node_modules.
import { build } from "esbuild";
import { copyFile, mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import path from "node:path";

const [from, to] = process.argv.slice(2);
const STYLED = "textElement.setAttribute('style', combinedStyle);";

// The library sets a style attribute, which our Content-Security-Policy forbids; by the CSSOM it may.
const withoutStyleAttributes = {
  name: "without-style-attributes",
  setup({ onLoad }) {
    onLoad({ filter: /drawingSvg[\\/]drawTextBox\.js$/ }, async ({ path: file }) => {
      const text = await readFile(file, "utf8");
      if (!text.includes(STYLED)) throw new Error("drawTextBox.js of the library has changed: look at its styles again");
      return { contents: text.replace(STYLED, "textElement.style.cssText = combinedStyle;") };
    });
  },
};

// Readers and writers of XML come along in vtk.js and are never called; they want Node's own modules.
const withoutXml = {
  name: "without-xml",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^xmlbuilder2$/ }, ({ path: name }) => ({ path: name, namespace: "left-out" }));
    onLoad({ filter: /.*/, namespace: "left-out" }, () => ({ contents: "export const create = undefined;" }));
  },
};

const { metafile } = await build({
  entryPoints: [path.join(from, "main.js"), path.join(from, "main.css")],
  nodePaths: [path.resolve("node_modules")],
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome109", "firefox115", "safari16"],
  legalComments: "none", // the licences are whole in THIRD_PARTY.txt
  define: { "process.env.NODE_ENV": '"production"', global: "globalThis" },
  outdir: to,
  metafile: true,
  plugins: [withoutStyleAttributes, withoutXml],
  logLevel: "warning",
});

for (const file of ["index.html", "icon.svg"]) await copyFile(path.join(from, file), path.join(to, file));
await writeFile(path.join(to, "THIRD_PARTY.txt"), await licences(Object.keys(metafile.inputs)));

async function licences(inputs) {
  const inside = inputs.map((one) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(one)?.[1]).filter(Boolean);
  const parts = await Promise.all([...new Set(inside)].sort().map(licence));
  return `What of others is in main.js, with its licence.\n\n${parts.join("\n\n")}`;
}

async function licence(name) {
  const folder = path.join("node_modules", name);
  const { version, license } = JSON.parse(await readFile(path.join(folder, "package.json"), "utf8"));
  const files = (await readdir(folder)).filter((one) => /^(licen[cs]e|copying)/i.test(one));
  const text = files.length ? (await readFile(path.join(folder, files[0]), "utf8")).trim() : "(its package holds no text of it)";
  return `==== ${name} ${version}: ${license}\n\n${text}\n`;
}
