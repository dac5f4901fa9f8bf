// Writes the types of what the server sends and takes, from its own description. `cargo xtask dist` runs it.

import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import openapiTS, { astToString } from 'openapi-typescript';

const text = await readFile(new URL('../docs/openapi.json', import.meta.url), 'utf8');
const types = await openapiTS({ ...JSON.parse(text), paths: {} }, {
  alphabetize: true, defaultNonNullable: false, rootTypes: true, rootTypesNoSchemaPrefix: true, rootTypesKeepCasing: true,
});
const from = createHash('sha256').update(text).digest('hex');
const head = `// Written by \`cargo xtask dist\` from docs/openapi.json, whose SHA-256 was\n// ${from}\n\n`;
await writeFile(new URL('src/lib/api.gen.ts', import.meta.url), head + astToString(types));
