// A provider that says what it is told to say, on 127.0.0.1. Prints its address; then answers each line of
// standard input with an empty one:
//   {"header": {...}, "claims": {...}}   goes into the next ID token, in place of what would be there
//   node mock.mjs MODULES
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const entry = `${process.argv[2]}/oauth2-mock-server/dist/index.mjs`;
const { OAuth2Server } = await import(pathToFileURL(entry));

const server = new OAuth2Server();
await server.issuer.keys.generate('RS256');
await server.start(0, '127.0.0.1');
console.log(server.issuer.url);

let told = {};
server.service.on('beforeTokenSigning', (token) => {
  // Access tokens have no nonce, and nobody looks at them.
  if (!('nonce' in token.payload)) return;
  Object.assign(token.header, told.header);
  Object.assign(token.payload, told.claims);
  for (const [name, value] of Object.entries(told.claims ?? {})) {
    if (value === null) delete token.payload[name];
  }
  told = {};
});

for await (const line of createInterface({ input: process.stdin })) {
  told = JSON.parse(line);
  console.log();
}
