#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Streams a completion from rwkvd, tells errors apart, and cancels.
'use strict';

const path = require('path');
const util = require('util');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const PROTO = path.join(__dirname, '../../../proto');

// The server has no room, or no model: nothing was computed, so the same
// request may be sent again a little later.
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
    if (positionals.length !== 1) throw new Error('one prompt is needed');
    return {...values, prompt: positionals[0]};
  } catch (error) {
    console.error(`${error.message}\n${usage}`);
    process.exit(2);
  }
}

function makeClient(address) {
  const definition = protoLoader.loadSync('rwkv/v1/rwkv.proto', {
    includeDirs: [PROTO],
    keepCase: true,  // the names of the contract, not Node's
    longs: String,   // 64 bits do not fit a number
    enums: String,
    defaults: true,  // what was not sent is empty, not undefined
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

// Prints one answer while it comes. Resolves to the finish, or to null if we
// have cancelled; rejects with the error, and how many bytes came before it.
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
      call.cancel();  // frees the place at once
    };
    process.once('SIGINT', cancel);
    call.on('data', (response) => {
      if (cancelled) return;
      if (response.finish) {
        finish = response.finish;
        process.stdout.write(finish.text + '\n');
        return;
      }
      // `text` is whole characters, `bytes` is what it was made of.
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

// How long to wait: what the server asks for, else longer each time.
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
