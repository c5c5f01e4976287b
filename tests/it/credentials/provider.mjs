// A certified OpenID provider on 127.0.0.1. Prints its address; then answers each line of standard input
// with one of its own:
//   keys               changes its keys
//   back-channel URL   tells that address of the client `console` when somebody logs out
//   revoke             takes back all refresh tokens that it gave
//   grants             how often it gave tokens, by kind of grant, as JSON
//   node provider.mjs MODULES
import { createPrivateKey, generateKeyPairSync, randomUUID, X509Certificate } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

// Standard output is for answers alone; what the library has to say goes beside it.
const say = (line) => process.stdout.write(`${line}\n`);
console.log = console.error;
console.info = console.error;

const entry = `${process.argv[2]}/oidc-provider/lib/index.js`;
const { default: Provider } = await import(pathToFileURL(entry));

const KINDS = {
  ES256: ['ec', { namedCurve: 'P-256' }],
  RS256: ['rsa', { modulusLength: 2048 }],
  EdDSA: ['ed25519', {}],
};
const HOME = 'https://data.test/login/corp';
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';

// The server that is told of log-outs has a certificate of its own making.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';

// By way of a text: now and then node stops for good where it exports the very key that it has just generated.
function newKeys() {
  const privateKeyEncoding = { type: 'pkcs8', format: 'pem' };
  return Object.entries(KINDS).map(([alg, [kind, options]]) => {
    const { privateKey } = generateKeyPairSync(kind, { ...options, privateKeyEncoding });
    return { ...createPrivateKey(privateKey).export({ format: 'jwk' }), alg, kid: randomUUID(), use: 'sig' };
  });
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

// People log in at `console`, and at their own machines.
function people() {
  const told = backChannel
    ? { backchannel_logout_uri: backChannel, backchannel_logout_session_required: true }
    : {};
  return [
    client('console', {
      grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: [`${HOME}/callback`],
      post_logout_redirect_uris: [`${HOME}/ended`],
      response_types: ['code'],
      token_endpoint_auth_method: 'client_secret_basic',
      ...told,
    }),
    client('ctl', {
      application_type: 'native',
      client_secret: undefined,
      grant_types: ['authorization_code', 'refresh_token', DEVICE],
      redirect_uris: ['http://127.0.0.1/callback'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    }),
  ];
}

// A resource is urn:AUDIENCE:ALGORITHM. A token of the command line ends so soon that each command renews it.
function resourceServer(_ctx, resource, client) {
  const [, audience, alg] = resource.split(':');
  const accessTokenTTL = client.clientId === 'ctl' ? 20 : 600;
  return { scope: 'read', audience, accessTokenFormat: 'jwt', accessTokenTTL, jwt: { sign: { alg } } };
}

function provider(issuer) {
  const made = new Provider(issuer, {
    jwks: { keys },
    clients: [
      client('shop'),
      client('bound', { tls_client_certificate_bound_access_tokens: true }),
      ...people(),
    ],
    enabledJWA: { idTokenSigningAlgValues: Object.keys(KINDS) },
    fetch: (url, options) => fetch(url, { ...options, dispatcher: undefined }),
    rotateRefreshToken: true,
    ttl: { AccessToken: 2 },
    features: {
      backchannelLogout: { enabled: true },
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: resourceServer,
        useGrantedResource: () => true,
      },
      revocation: { enabled: true },
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
  });
  made.on('grant.success', (ctx) => {
    const kind = ctx.oidc.params.grant_type;
    grants[kind] = (grants[kind] ?? 0) + 1;
    const grant = ctx.oidc.entities.Grant;
    if (grant) revocations.push(() => made.RefreshToken.revokeByGrantId(grant.jti));
  });
  made.on('backchannel.error', (_ctx, error) => console.error(error));
  return made.callback();
}

const grants = {};
const revocations = [];
let backChannel;
let keys = newKeys();
const server = createServer((request, response) => answer(request, response));
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const issuer = `http://127.0.0.1:${server.address().port}`;
let answer = provider(issuer);
say(issuer);
for await (const line of createInterface({ input: process.stdin })) {
  const [word, value] = line.split(' ');
  if (word === 'grants') {
    say(JSON.stringify(grants));
    continue;
  }
  if (word === 'revoke') {
    await Promise.all(revocations.splice(0).map((revoke) => revoke()));
    say('done');
    continue;
  }
  if (word === 'keys') keys = newKeys();
  if (word === 'back-channel') backChannel = value;
  answer = provider(issuer);
  say('done');
}
process.exit(0);
