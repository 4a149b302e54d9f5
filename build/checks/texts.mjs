// What must not stand in the tree: unfinished marks, tests switched off, paths of a developer's machine; and what
// must: an error's message and remedy are whole sentences.
// `node build/checks/texts.mjs [ROOT]` prints one line, or a list of violations and exits with 1.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, extname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const folders = ['src-main', 'src-renderer', 'test', 'build'];
const documents = ['README.md', 'package.json'];
const extensions = ['.ts', '.mjs', '.js', '.svelte', '.css', '.html', '.py', '.md', '.json'];
const leftOut = /^(test\/fixtures|build\/starter-model\/data)\//;

// Written in pieces, so that this file does not name what it forbids.
const forbidden = [
  { what: 'an unfinished mark', pattern: new RegExp(`\\b(TO${'DO'}|FIX${'ME'}|XX${'X'}|HA${'CK'})\\b`) },
  { what: 'an unfinished mark', pattern: new RegExp(`\\bnot ${'implemented'}\\b`, 'i') },
  { what: 'a test switched off', pattern: /\b(it|test|describe)\.(only|todo|skip)\b/ },
  {
    what: 'a path of one machine',
    pattern: new RegExp(`/${'work'}/|/${'farm'}/|/home/[a-z]+/|/tmp/${'bash'}_jobs|[A-Z]:\\\\Users\\\\`),
  },
  {
    what: 'the address of a registry',
    pattern: new RegExp(`registry\\.${'npmjs'}\\.org|deb\\.${'debian'}\\.org`),
  },
];

const root = resolve(process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), '../..'));
const files = [
  ...folders
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) => readdirSync(join(root, folder), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && extensions.includes(extname(entry.name)))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .filter((file) => !leftOut.test(file))
    .sort(),
  ...documents.filter((file) => existsSync(join(root, file))),
];
let errors = 0;
const violations = files.flatMap((file) => {
  const text = readFileSync(join(root, file), 'utf8');
  return [
    ...forbiddenIn(file, text),
    ...(/^src-main\/.*\.ts$/.test(file) ? brokenSentences(file, text) : []),
  ];
});

if (violations.length > 0) {
  for (const violation of violations) console.error(violation);
  console.error(`texts: ${violations.length} violations in ${files.length} files`);
  process.exit(1);
}
console.log(`texts: ${files.length} files are finished, and ${errors} errors speak in sentences`);

function forbiddenIn(file, text) {
  return text
    .split('\n')
    .flatMap((line, index) =>
      forbidden
        .filter(({ pattern }) => pattern.test(line))
        .map(({ what }) => `${file}:${index + 1}: ${what}: ${line.trim().slice(0, 100)}`),
    );
}

/** Errors whose message or remedy, where it stands in the source, does not start and end as a sentence does. */
function brokenSentences(file, text) {
  const found = [];
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const visit = (node) => {
    if (ts.isNewExpression(node) && node.expression.getText() === 'PusaError') {
      errors++;
      for (const part of (node.arguments ?? []).slice(1, 3)) {
        const flaw = sentenceFlaw(part);
        const line = source.getLineAndCharacterOfPosition(part.getStart()).line + 1;
        if (flaw) found.push(`${file}:${line}: ${flaw}: ${part.getText().slice(0, 100)}`);
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function sentenceFlaw(node) {
  const text = ts.isStringLiteralLike(node) ? node.text : ts.isTemplateExpression(node) ? outline(node) : '…';
  if (!/[.?!…][)”"]?$/.test(text)) return 'a sentence without an end';
  return /^[\p{Lu}"“…\d]/u.test(text) ? null : 'a sentence without a capital';
}

/** A template's own words; what it fills in counts as a word, or as a whole sentence where nothing else stands. */
function outline({ head, templateSpans }) {
  const own = [head.text, ...templateSpans.map((span) => span.literal.text)];
  if (own.every((text) => text === '')) return '…';
  // After a full stop, what is filled in is a sentence of its own.
  const ends = /[.?!] $/.test(own.at(-2));
  return own.map((text, index) => text || (index === 0 || ends ? '…' : 'x')).join('');
}
