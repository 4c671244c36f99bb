// SPDX-License-Identifier: Apache-2.0
// Connects the examples to a server, with or without TLS and a token.
'use strict';

const fs = require('fs');
const {Client, grpc} = require('rwkvd-client');

// For util.parseArgs. --tls-ca, the file with who may have issued the server's
// certificate, turns TLS on; the others are files with this client's own
// certificate and its private key, if the server needs one. --token-file is for
// servers with --auth_tokens.
const CONNECTION_OPTIONS = /** @type {const} */ ({
  'server': {type: 'string', default: '127.0.0.1:50051'},
  'tls-ca': {type: 'string'},
  'tls-cert': {type: 'string'},
  'tls-key': {type: 'string'},
  'token-file': {type: 'string'},
});

const contents = (path) => path === undefined ? null : fs.readFileSync(path);

function connect(args) {
  const token = args['token-file'] === undefined ?
      null : fs.readFileSync(args['token-file'], 'utf8').trim();
  if (args['tls-ca'] === undefined) return new Client(args.server, {token});
  const credentials = grpc.credentials.createSsl(
      contents(args['tls-ca']), contents(args['tls-key']),
      contents(args['tls-cert']));
  return new Client(args.server, {credentials, token});
}

module.exports = {CONNECTION_OPTIONS, connect};
