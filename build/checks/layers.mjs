// The rules of the house: who may import whom, and how long a file may be.
// `node build/checks/layers.mjs [ROOT]` prints one line, or a list of violations and exits with 1.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, extname, join, posix, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse as parseSvelte } from 'svelte/compiler';
import ts from 'typescript';

/**
 * Each room (a folder of src-main, or an entry file) with the rooms it may enter besides itself.
 * `packages`: null means any but those below. `node`: may import Node's own modules. `manifest`: may read package.json.
 */
const rooms = {
  core: { enters: [], packages: ['zod'] },
  files: { enters: ['core'], packages: [], node: true },
  engine: { enters: ['core', 'files'], packages: null, node: true },
  library: { enters: ['core', 'files', 'media'], packages: null, node: true },
  media: { enters: ['core', 'files'], packages: null, node: true },
  studio: {
    enters: ['core', 'files', 'engine', 'library', 'media'],
    packages: null,
    node: true,
    manifest: true,
  },
  web: { enters: ['core', 'studio', 'media'], packages: null, node: true },
  cli: { enters: ['core', 'engine', 'studio', 'library', 'media'], packages: null, node: true },
  shell: { enters: ['core', 'engine', 'studio', 'web'], packages: null, node: true, electron: true },
  'main.ts': { enters: ['core', 'studio', 'web', 'shell'], packages: null, node: true, electron: true },
  'preload.ts': { enters: ['core'], packages: null, electron: true },
  'serve.ts': { enters: ['core', 'studio', 'web'], packages: null, node: true },
  'cli.ts': { enters: ['core', 'studio', 'cli'], packages: null, node: true },
  renderer: { enters: ['core'], packages: null, manifest: true },
};

/** Blocks its thread and may take the process with it: only the engine's process loads it. */
const engineOnly = 'onnxruntime-node';
const maxLines = { '.ts': 500, '.svelte': 300 };
const builtins = new Set(builtinModules);

const root = resolve(process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), '../..'));
const files = sourceFiles();
const imports = new Map(files.map((file) => [file, importsOf(file)]));
const violations = files.flatMap((file) => [...lengthViolations(file), ...importViolations(file)]);

if (violations.length > 0) {
  for (const violation of violations) console.error(violation);
  console.error(`layers: ${violations.length} violations of the rules of the house in ${files.length} files`);
  process.exit(1);
}
const count = [...imports.values()].reduce((sum, list) => sum + list.length, 0);
console.log(`layers: ${files.length} files and their ${count} imports keep the rules of the house`);

/** Paths from the root, with "/". */
function sourceFiles() {
  return ['src-main', 'src-renderer']
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) => readdirSync(join(root, folder), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && extname(entry.name) in maxLines)
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort();
}

function lengthViolations(file) {
  const lines = readFileSync(join(root, file), 'utf8').replace(/\n$/, '').split('\n').length;
  const limit = maxLines[extname(file)];
  return lines <= limit ? [] : [`${file}: ${lines} lines, more than ${limit}; these are two rooms in one`];
}

function importViolations(file) {
  const name = roomOf(file);
  const room = rooms[name];
  if (!room) return [`${file}: belongs to no room of src-main`];
  return imports
    .get(file)
    .map((found) => [found, flawOf(file, name, room, found)])
    .filter(([, flaw]) => flaw !== null)
    .map(([found, flaw]) => `${file}:${found.line}: ${flaw}`);
}

/** @returns what is wrong with an import, or null */
function flawOf(file, name, room, { specifier, erased }) {
  if (specifier === null) return 'imports what cannot be known before it runs; name the module';
  if (specifier.startsWith('/') || specifier.includes('\\')) return `"${specifier}" is not a relative path`;
  if (!specifier.startsWith('.')) return packageFlaw(name, room, specifier, erased);
  const target = resolveImport(file, specifier);
  if (target === 'package.json' && room.manifest) return null;
  const other = roomOf(target);
  if (!rooms[other]) return `"${specifier}" leads out of the house, to ${target}`;
  if (other !== name && !room.enters.includes(other))
    return `${name} may not import ${other} ("${specifier}")`;
  const way = other === 'engine' && name !== 'engine' && !erased ? wayToRuntime(target, new Set()) : null;
  return way === null ? null : `"${specifier}" brings ${engineOnly} into ${name}, by ${way.join(' → ')}`;
}

function packageFlaw(name, room, specifier, erased) {
  const packageName = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
  if (specifier.startsWith('node:') || builtins.has(packageName)) {
    if (!room.node) return `${name} may not import "${specifier}": it runs without Node`;
    return specifier.startsWith('node:') ? null : `write "node:${specifier}"`;
  }
  if (packageName === 'electron') return room.electron ? null : `${name} may not import "electron"`;
  if (packageName === engineOnly && name !== 'engine' && !erased)
    return `only the engine may import "${specifier}"`;
  if (room.packages && !room.packages.includes(packageName)) return `${name} may not import "${specifier}"`;
  return null;
}

/** @returns the files on the way from `file` to ONNX Runtime, or null; types are erased and do not count */
function wayToRuntime(file, seen) {
  if (seen.has(file)) return null;
  seen.add(file);
  for (const { specifier, erased } of imports.get(file) ?? []) {
    if (specifier === null || erased) continue;
    if (specifier === engineOnly) return [file];
    const way = specifier.startsWith('.') ? wayToRuntime(resolveImport(file, specifier), seen) : null;
    if (way) return [file, ...way];
  }
  return null;
}

function resolveImport(file, specifier) {
  return posix.normalize(posix.join(posix.dirname(file), specifier.replace(/\?.*$/, '')));
}

/** The room a file lies in: "renderer", a folder of src-main, or an entry file of it. */
function roomOf(file) {
  const [top, second] = file.split('/');
  if (top === 'src-renderer') return 'renderer';
  return top === 'src-main' ? second : undefined;
}

/** Everything a file imports. `erased`: only types, gone before it runs. `specifier` is null where it is computed. */
function importsOf(file) {
  const text = readFileSync(join(root, file), 'utf8');
  return file.endsWith('.svelte') ? importsOfComponent(text) : importsOfModule(text, file);
}

function importsOfModule(text, file) {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const found = source.referencedFiles.map((reference) => ({
    specifier: reference.fileName,
    erased: true,
    line: 1,
  }));
  const add = (node, module, erased) =>
    found.push({
      specifier: module && ts.isStringLiteralLike(module) ? module.text : null,
      erased,
      line: source.getLineAndCharacterOfPosition(node.getStart()).line + 1,
    });
  const visit = (node) => {
    if (ts.isImportDeclaration(node)) {
      add(node, node.moduleSpecifier, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword);
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier) {
      add(node, node.moduleSpecifier, node.isTypeOnly);
    } else if (ts.isImportTypeNode(node)) {
      add(node, ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined, true);
    } else if (ts.isImportEqualsDeclaration(node) && ts.isExternalModuleReference(node.moduleReference)) {
      add(node, node.moduleReference.expression, node.isTypeOnly);
    } else if (ts.isCallExpression(node) && isImportCall(node.expression)) {
      add(node, node.arguments[0], false);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function isImportCall(callee) {
  return (
    callee.kind === ts.SyntaxKind.ImportKeyword || (ts.isIdentifier(callee) && callee.text === 'require')
  );
}

/** A component's scripts and its markup: `{#await import(…)}` imports too. */
function importsOfComponent(text) {
  const found = [];
  const add = (node, module, erased) =>
    found.push({
      specifier: typeof module?.value === 'string' ? module.value : null,
      erased,
      line: text.slice(0, node.start).split('\n').length,
    });
  const visit = (node) => {
    if (Array.isArray(node)) return node.forEach(visit);
    if (typeof node !== 'object' || node === null) return;
    if (node.type === 'ImportDeclaration') add(node, node.source, node.importKind === 'type');
    else if (/^Export(All|Named)Declaration$/.test(node.type) && node.source)
      add(node, node.source, node.exportKind === 'type');
    else if (node.type === 'ImportExpression') add(node, node.source, false);
    else if (node.type === 'TSImportType') add(node, node.argument?.literal ?? node.argument, true);
    for (const value of Object.values(node)) visit(value);
  };
  visit(parseSvelte(text, { modern: true }));
  return found;
}
