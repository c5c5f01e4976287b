// A certified OpenID provider on 127.0.0.1. Prints its address; a line on standard input changes its keys.
//   node provider.mjs MODULES
import { generateKeyPairSync, randomUUID, X509Certificate } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const entry = `${process.argv[2]}/oidc-provider/lib/index.js`;
const { default: Provider } = await import(pathToFileURL(entry));

const KINDS = {
  ES256: ['ec', { namedCurve: 'P-256' }],
  RS256: ['rsa', { modulusLength: 2048 }],
  EdDSA: ['ed25519', {}],
};

function keys() {
  return Object.entries(KINDS).map(([alg, [kind, options]]) => ({
    ...generateKeyPairSync(kind, options).privateKey.export({ format: 'jwk' }),
    alg,
    kid: randomUUID(),
    use: 'sig',
  }));
}

function client(id, more) {
  return {
    client_id: id,
    client_secret: `secret-of-${id}`,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    token_endpoint_auth_method: 'client_secret_post',
    ...more,
  };
}

// A resource is urn:AUDIENCE:ALGORITHM.
function resourceServer(_ctx, resource) {
  const [, audience, alg] = resource.split(':');
  return { scope: 'read', audience, accessTokenFormat: 'jwt', accessTokenTTL: 600, jwt: { sign: { alg } } };
}

function provider(issuer) {
  return new Provider(issuer, {
    jwks: { keys: keys() },
    clients: [client('shop'), client('bound', { tls_client_certificate_bound_access_tokens: true })],
    enabledJWA: { idTokenSigningAlgValues: Object.keys(KINDS) },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: { enabled: true, getResourceServerInfo: resourceServer },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        // A proxy would end TLS and hand the certificate on; here the client hands it on itself.
        getCertificate: (ctx) => {
          const pem = ctx.get('client-cert');
          return pem ? new X509Certificate(Buffer.from(pem, 'base64')) : undefined;
        },
      },
    },
  }).callback();
}

const server = createServer((request, response) => answer(request, response));
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const issuer = `http://127.0.0.1:${server.address().port}`;
let answer = provider(issuer);
console.log(issuer);
for await (const _line of createInterface({ input: process.stdin })) {
  answer = provider(issuer);
  console.log('other keys');
}
process.exit(0);
