#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Prints which of several continuations of a text the model prefers: for each,
// the log-probability and the text, most likely first.
'use strict';

const util = require('util');
const {grpc} = require('rwkvd-client');
const {CONNECTION_OPTIONS, connect} = require('./connection.js');

async function main() {
  const {values, positionals} = util.parseArgs({
    allowPositionals: true,
    options: CONNECTION_OPTIONS,
  });
  const [context, ...texts] = positionals;
  if (texts.length === 0) {
    console.error('usage: score.js [--server HOST:PORT] [--tls-ca FILE] ' +
                  '[--tls-cert FILE] [--tls-key FILE] [--token-file FILE] ' +
                  'CONTEXT CONTINUATION...');
    process.exit(2);
  }
  const client = connect(values);
  try {
    // Sends the request again while the server is overloaded.
    const {scores} = await client.call('Score', {
      context: {text: context},
      continuations: texts.map((text) => ({text})),
      totals_only: true,
    });
    const scored =
        texts.map((text, i) => ({text, logprob: scores[i].logprob_sum}));
    scored.sort((a, b) => Number(b.logprob) - Number(a.logprob));
    for (const {text, logprob} of scored) {
      console.log(`${Number(logprob).toFixed(4)}\t${text}`);
    }
  } catch (error) {
    console.error(`${grpc.status[error.code]}: ${error.details}`);
    process.exitCode = 1;
  }
  client.close();
}

main();
