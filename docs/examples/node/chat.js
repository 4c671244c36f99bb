#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Has a conversation with the model: each argument is the next message of the
// user. The answers are printed while they are generated.
'use strict';

const util = require('util');
const {grpc} = require('rwkvd-client');
const {CONNECTION_OPTIONS, connect} = require('./connection.js');

function parseArguments() {
  const {values, positionals} = util.parseArgs({
    allowPositionals: true,
    options: {
      ...CONNECTION_OPTIONS,
      'template': {type: 'string', default: ''},  // if the server knows none
      'system': {type: 'string'},
      'max-tokens': {type: 'string', default: '200'},
      'seed': {type: 'string'},
    },
  });
  if (positionals.length === 0) {
    console.error('usage: chat.js [--server HOST:PORT] [--template NAME] ' +
        '[--system TEXT] [--max-tokens N] [--seed N] MESSAGE...');
    process.exit(2);
  }
  return {...values, messages: positionals};
}

// Prints the answer while it is generated. Returns its text.
async function stream(generation) {
  let text = '';
  for await (const response of generation) {
    const part = (response.delta ?? response.finish)?.text ?? '';
    process.stdout.write(part);
    text += part;
  }
  process.stdout.write('\n');
  return text;
}

async function talk(client, args) {
  /** @type {{role: 'CHAT_ROLE_SYSTEM' | 'CHAT_ROLE_USER' |
   *     'CHAT_ROLE_ASSISTANT', content: string}[]} */
  const messages = [];
  if (args.system) {
    messages.push({role: 'CHAT_ROLE_SYSTEM', content: args.system});
  }
  for (const content of args.messages) {
    messages.push({role: 'CHAT_ROLE_USER', content});
    // Each request has the whole conversation. The server computes only what is
    // new: it keeps the state after the last answer.
    const generation = client.generate({
      prompt: {conversation: {messages, chat_template: args.template}},
      max_tokens: Number(args['max-tokens']),
      sampling: {seed: args.seed},
    });
    messages.push(
        {role: 'CHAT_ROLE_ASSISTANT', content: await stream(generation)});
    const {prompt_tokens, cached_tokens} = generation.finish.usage;
    console.error(
        `${prompt_tokens} tokens of the prompt, ${cached_tokens} of them cached`);
  }
}

async function main() {
  const args = parseArguments();
  const client = connect(args);
  try {
    await talk(client, args);
  } catch (error) {
    if (error.code === undefined) throw error;  // not of a call
    console.error(`${grpc.status[error.code]}: ${error.details}`);
    process.exitCode = 1;
  }
  client.close();
}

main();
