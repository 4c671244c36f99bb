#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Streams a completion from rwkvd, handles errors by status, and cancels.
'use strict';

const path = require('path');
const util = require('util');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const PROTO = path.join(__dirname, '../../../proto');

// The server is overloaded, or not ready. It has computed nothing, so the same
// request may be sent again later.
const TRY_AGAIN = [grpc.status.RESOURCE_EXHAUSTED, grpc.status.UNAVAILABLE];
const ATTEMPTS = 6;

function parseArguments() {
  const usage = 'usage: complete.js [--server HOST:PORT] [--max-tokens N] ' +
      '[--deadline SECONDS] [--stop-after BYTES] [--seed N] PROMPT';
  try {
    const {values, positionals} = util.parseArgs({
      allowPositionals: true,
      options: {
        'server': {type: 'string', default: '127.0.0.1:50051'},
        'max-tokens': {type: 'string', default: '100'},
        'deadline': {type: 'string'},
        'stop-after': {type: 'string'},
        'seed': {type: 'string'},
      },
    });
    if (positionals.length !== 1) throw new Error('expected one prompt');
    return {...values, prompt: positionals[0]};
  } catch (error) {
    console.error(`${error.message}\n${usage}`);
    process.exit(2);
  }
}

function makeClient(address) {
  const definition = protoLoader.loadSync('rwkv/v1/rwkv.proto', {
    includeDirs: [PROTO],
    keepCase: true,  // field names as in the .proto file
    longs: String,   // 64-bit integers do not fit in a number
    enums: String,
    defaults: true,  // absent fields are empty, not undefined
  });
  const {RwkvService} = grpc.loadPackageDefinition(definition).rwkv.v1;
  return new RwkvService(address, grpc.credentials.createInsecure());
}

function makeRequest(args) {
  const request = {
    prompt: {text: args.prompt},
    max_tokens: Number(args['max-tokens']),
    sampling: {temperature: 1, top_p: 0.5},
  };
  if (args.seed !== undefined) request.sampling.seed = args.seed;
  return request;
}

// Prints the output while it is generated. Resolves to its finish, or to null
// if this client cancelled the call. Rejects with the error, which carries the
// number of bytes that were received before it.
function stream(client, request, args) {
  return new Promise((resolve, reject) => {
    const options = {};
    if (args.deadline) options.deadline = Date.now() + 1000 * args.deadline;
    const call = client.Generate(request, options);
    let received = 0;
    let finish = null;
    let cancelled = false;
    const cancel = () => {
      cancelled = true;
      call.cancel();  // frees the slot at once
    };
    process.once('SIGINT', cancel);
    call.on('data', (response) => {
      if (cancelled) return;
      if (response.finish) {
        finish = response.finish;
        process.stdout.write(finish.text + '\n');
        return;
      }
      // `text` has whole characters, `bytes` the raw output.
      process.stdout.write(response.delta.text);
      received += response.delta.bytes.length;
      if (args['stop-after'] && received >= args['stop-after']) cancel();
    });
    call.on('error', (error) => {
      process.removeListener('SIGINT', cancel);
      if (cancelled) {
        process.stdout.write('\n');
        resolve(null);
      } else {
        reject(Object.assign(error, {received}));
      }
    });
    call.on('end', () => {
      process.removeListener('SIGINT', cancel);
      resolve(finish);
    });
  });
}

// Milliseconds to wait: what the server asks for, otherwise an exponential
// backoff.
function pauseBefore(attempt, error) {
  const [asked] = error.metadata.get('grpc-retry-pushback-ms');
  return asked !== undefined ? Number(asked) : 100 * 2 ** attempt;
}

async function complete(client, request, args) {
  for (let attempt = 0;; ++attempt) {
    try {
      return await stream(client, request, args);
    } catch (error) {
      if (!TRY_AGAIN.includes(error.code) || error.received > 0 ||
          attempt === ATTEMPTS - 1) {
        throw error;
      }
      const pause = pauseBefore(attempt, error);
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}

async function main() {
  const args = parseArguments();
  const client = makeClient(args.server);
  try {
    const finish = await complete(client, makeRequest(args), args);
    console.error(
        finish === null ?
            'cancelled' :
            `${finish.reason}, ${finish.usage.generated_tokens} tokens, ` +
                `seed ${finish.seed}`);
  } catch (error) {
    console.error(`${grpc.status[error.code]}: ${error.details}`);
    process.exitCode = 1;
  }
  client.close();
}

main();
