// Every package that reaches a person's machine must be under a licence that lets us give it away.
// `node build/checks/licences.mjs [ROOT]` prints one line, or a list of violations and exits with 1.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const allowed = new Set([
  '0BSD',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BSL-1.0',
  'CC0-1.0',
  'ISC',
  'MIT',
  'MIT-0',
  'MPL-2.0',
  'Python-2.0',
  'Unlicense',
  'Zlib',
]);

/** libvips comes as a shared library beside sharp, which a person may replace: what the LGPL asks for. */
const allowedByName = [{ name: /^@img\/sharp-(libvips-|wasm32|win32-)/, licence: 'LGPL-3.0-or-later' }];

/** Development packages whose own code is shipped: Svelte's runtime is compiled into the window, Electron is packed. */
const shipped = ['svelte', 'electron'];

const root = resolve(process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), '../..'));
const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
const packages = Object.entries(lock.packages)
  .map(([path, entry]) => ({ path, name: path.slice(path.lastIndexOf('node_modules/') + 13), entry }))
  .filter(({ path, name, entry }) => path !== '' && (!entry.dev || shipped.includes(name)));

const violations = packages.flatMap(({ path, name, entry }) => {
  // The lock knows packages of other platforms too; what is installed speaks for itself.
  const manifest = join(root, path, 'package.json');
  const installed = existsSync(manifest) ? JSON.parse(readFileSync(manifest, 'utf8')).license : undefined;
  const declared = new Set([entry.license, installed].filter((licence) => licence !== undefined));
  if (declared.size === 0) return [`${name}: it declares no licence`];
  return [...declared]
    .filter((licence) => typeof licence !== 'string' || !isAllowed(licence, name))
    .map(
      (licence) =>
        `${name}: ${typeof licence === 'string' ? licence : JSON.stringify(licence)} is not on the list`,
    );
});

if (packages.length === 0) violations.push('package-lock.json names no package');
if (violations.length > 0) {
  for (const violation of violations) console.error(violation);
  console.error(`licences: ${violations.length} violations in ${packages.length} packages`);
  process.exit(1);
}
console.log(`licences: ${packages.length} packages that are shipped are under licences on the list`);

/** Evaluates an SPDX expression: OR leaves a choice, AND (which binds tighter) does not. */
function isAllowed(expression, name) {
  const tokens = expression.match(/[()]|[^\s()]+/g) ?? [];
  let malformed = false;
  const licence = () => {
    const token = tokens.shift();
    if (token === '(') {
      const inside = anyOf();
      malformed ||= tokens.shift() !== ')';
      return inside;
    }
    malformed ||= token === undefined || [')', 'AND', 'OR'].includes(token);
    return allowed.has(token) || allowedByName.some((one) => one.licence === token && one.name.test(name));
  };
  const allOf = () => {
    let result = licence();
    while (tokens[0] === 'AND') {
      tokens.shift();
      result = licence() && result;
    }
    return result;
  };
  const anyOf = () => {
    let result = allOf();
    while (tokens[0] === 'OR') {
      tokens.shift();
      result = allOf() || result;
    }
    return result;
  };
  return anyOf() && !malformed && tokens.length === 0;
}
