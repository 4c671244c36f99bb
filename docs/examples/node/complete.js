#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Streams a completion from rwkvd, reports errors with their details, cancels,
// and continues on another server when the first one shuts down.
'use strict';

const util = require('util');
const {detailsOf, grpc} = require('rwkvd-client');
const {CONNECTION_OPTIONS, connect} = require('./connection.js');

function parseArguments() {
  const usage = 'usage: complete.js [--server HOST:PORT] [--tls-ca FILE] ' +
      '[--tls-cert FILE] [--tls-key FILE] [--token-file FILE] ' +
      '[--max-tokens N] [--deadline SECONDS] [--stop-after BYTES] [--seed N] [--resume] PROMPT';
  try {
    const {values, positionals} = util.parseArgs({
      allowPositionals: true,
      options: {
        ...CONNECTION_OPTIONS,
        'max-tokens': {type: 'string', default: '100'},
        'deadline': {type: 'string'},
        'stop-after': {type: 'string'},
        'seed': {type: 'string'},
        'resume': {type: 'boolean', default: false},
      },
    });
    if (positionals.length !== 1) throw new Error('expected one prompt');
    return {...values, prompt: positionals[0]};
  } catch (error) {
    console.error(`${error.message}\n${usage}`);
    process.exit(2);
  }
}

function makeRequest(args) {
  return {
    prompt: {text: args.prompt},
    max_tokens: Number(args['max-tokens']),
    sampling: {temperature: 1, top_p: 0.5, seed: args.seed},
  };
}

// Prints the output while it is generated. Returns whether the server has
// finished it; otherwise this client has cancelled the call.
async function stream(generation, stopAfter) {
  let received = 0;
  for await (const response of generation) {
    // `text` has whole characters, `bytes` the raw output.
    process.stdout.write((response.delta ?? response.finish)?.text ?? '');
    received += response.delta?.bytes.length ?? 0;
    if (stopAfter && received >= stopAfter) {
      generation.cancel();  // frees the slot at once
      break;
    }
  }
  process.stdout.write('\n');
  return generation.finish;
}

// Prints what a program can rely on in addition to the message.
function report(error) {
  const {reason, fieldViolations, quota} = detailsOf(error);
  console.error(`${grpc.status[error.code]}: ${error.details}`);
  if (reason) console.error(`reason: ${reason}`);
  for (const {field} of fieldViolations) console.error(`field: ${field}`);
  if (quota) console.error(`limit: ${quota}`);
}

async function main() {
  const args = parseArguments();
  const client = connect(args);
  const generation = client.generate(makeRequest(args), {
    timeoutMs: args.deadline ? 1000 * Number(args.deadline) : undefined,
    resume: args.resume,
  });
  let interrupted = false;
  process.once('SIGINT', () => {
    interrupted = true;
    generation.cancel();
  });
  try {
    const finish = await stream(generation, Number(args['stop-after'] ?? 0));
    console.error(
        finish === null ?
            'cancelled' :
            `${finish.reason}, ${finish.usage.generated_tokens} tokens, ` +
                `seed ${finish.seed}`);
  } catch (error) {
    if (error.code === undefined) throw error;  // not of a call
    if (!interrupted) report(error);
    process.exitCode = interrupted ? 130 : 1;
  }
  client.close();
}

main();
