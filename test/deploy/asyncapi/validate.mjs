// Prints what the AsyncAPI parser has to say about a document, a line each, and fails if it is anything.
import { Parser, fromFile } from '@asyncapi/parser';

const { document, diagnostics } = await fromFile(new Parser(), process.argv[2]).parse();
for (const d of diagnostics) {
  console.log(`${d.range.start.line + 1}: ${d.path.join('.')}: ${d.message}`);
}
process.exitCode = document && diagnostics.length === 0 ? 0 : 1;
