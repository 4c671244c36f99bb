// SPDX-License-Identifier: Apache-2.0
// Calls that are repeated when the server asks for it, and generations that
// continue on another server when theirs shuts down.
'use strict';

const path = require('path');
const {setTimeout: sleep} = require('timers/promises');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');
const {detailsOf} = require('./errors.js');

const DEFINITION = protoLoader.loadSync('rwkv/v1/rwkv.proto', {
  includeDirs: [path.join(__dirname, 'proto')],
  keepCase: true,  // field names as in the .proto file
  longs: String,   // 64-bit integers do not fit in a number
  enums: String,
  defaults: true,  // absent fields are empty, not undefined
  oneofs: true,
});
const {RwkvService} = grpc.loadPackageDefinition(DEFINITION).rwkv.v1;

const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 5000;
const CHUNK = 1 << 20;  // bytes of a state in one message

// Whether the error is temporary: the server is overloaded, not ready, or
// shutting down. A limit that rwkvd reports without a time to retry would refuse
// the request again, possibly after computing all of it.
function mayBeRepeated(error, details) {
  if (error.code === grpc.status.RESOURCE_EXHAUSTED) {
    return details.retryDelayMs !== null || details.reason === '';
  }
  return error.code === grpc.status.UNAVAILABLE;
}

// Decides whether and when a request is sent again.
class Attempts {
  constructor(most, deadline) {
    this.left = most;
    this.deadline = deadline;  // milliseconds since 1970
    this.backoff = FIRST_BACKOFF_MS;
  }

  // Waits until the request is to be sent again. Throws the error if the server
  // does not want that, or there is no attempt or time left.
  async waitAfter(error) {
    --this.left;
    const details = detailsOf(error);
    let delay = details.retryDelayMs;
    if (delay === null) {
      delay = this.backoff * (0.8 + 0.4 * Math.random());
      this.backoff = Math.min(2 * this.backoff, MAX_BACKOFF_MS);
    }
    if (!mayBeRepeated(error, details) || this.left <= 0 || delay < 0 ||
        Date.now() + delay >= this.deadline) {
      throw error;
    }
    await sleep(delay);
  }
}

// The last responses of a generation, which its server may have suspended: then
// they are not the end for the client.
class End {
  responses = [];

  // Takes the response if it may belong to a suspension.
  take(response) {
    if (!response.state_chunk &&
        response.finish?.reason !== 'FINISH_REASON_CANCELLED') {
      return false;
    }
    this.responses.push(response);
    return true;
  }

  get finish() { return this.responses.at(-1)?.finish ?? null; }
  get handle() { return this.finish.state.handle; }
  get state() {
    return Buffer.concat(this.responses.filter(({state_chunk}) => state_chunk)
        .map(({state_chunk}) => state_chunk.data));
  }

  isSuspended(error) {
    return error.code === grpc.status.UNAVAILABLE &&
        Boolean(this.finish?.state);
  }

  // The output in the finish, as a delta.
  output() {
    const {bytes, text, sample} = this.finish;
    if (bytes.length === 0) return [];
    const delta = {tokens: [], bytes, text, sample, prompt_tokens: []};
    return [{delta, event: 'delta'}];
  }
}

// The responses of a Generate call, in order. Iterate over it once; leaving the
// iteration ends the call.
class Generation {
  constructor(client, request, {timeoutMs = Infinity, resume = false} = {}) {
    if (resume && (request.n > 1 || request.best_of > 1)) {
      throw new RangeError('resume: only requests for one sample resume');
    }
    this.client = client;
    this.resume = resume;
    this.request = {...request};
    if (resume) {
      this.request.return_state = {...request.return_state, on_drain: true};
    }
    this.deadline = Date.now() + timeoutMs;
    this.attempts = new Attempts(client.maxAttempts, this.deadline);
    this.call = null;
    this.cancelled = false;
    this.finish = null;  // of the last sample
  }

  // Ends the generation; the server frees its slot at once. The iteration then
  // ends with the status CANCELLED.
  cancel() {
    this.cancelled = true;
    this.call?.cancel();
  }

  async* [Symbol.asyncIterator]() {
    try {
      while (!(yield* this.run())) continue;
    } finally {
      this.call?.cancel();
    }
  }

  // The responses of one call. Returns whether it is the last one.
  async* run() {
    let end = new End();
    let received = false;
    try {
      for await (const response of this.start()) {
        received = true;
        if (this.resume && end.take(response)) continue;
        yield* this.deliver(end.responses);
        end = new End();
        yield* this.deliver([response]);
      }
      yield* this.deliver(end.responses);
      return true;
    } catch (error) {
      if (end.isSuspended(error)) {
        yield* end.output();
        await this.continueFrom(end);
        return false;
      }
      yield* this.deliver(end.responses);
      if (received || this.cancelled) throw error;
      await this.attempts.waitAfter(error);
      return false;
    }
  }

  start() {
    this.call = this.client.stub.Generate(
        this.request, {deadline: this.deadline});
    if (this.cancelled) this.call.cancel();
    return this.call;
  }

  * deliver(responses) {
    for (const response of responses) {
      if (response.finish) this.finish = response.finish;
      yield response;
    }
  }

  // Changes the request to one that resumes. The next server may still be
  // starting, so time alone bounds the attempts.
  async continueFrom(end) {
    this.attempts = new Attempts(Infinity, Math.min(
        this.deadline, Date.now() + this.client.resumeWithinMs));
    const handle =
        end.handle || await this.client.storeState(end.state, this.attempts);
    this.request =
        {...this.request, prompt: null, state_handle: handle, resume: true};
  }
}

// Sends a token with each call.
function tokenInterceptor(token) {
  return (options, nextCall) => new grpc.InterceptingCall(nextCall(options), {
    start(metadata, listener, next) {
      metadata.set('authorization', `Bearer ${token}`);
      next(metadata, listener);
    },
  });
}

class Client {
  constructor(target, {credentials = grpc.credentials.createInsecure(),
                       channelOptions = {}, maxAttempts = 6,
                       resumeWithinMs = 60000, token = null} = {}) {
    const options = token === null ? channelOptions : {
      ...channelOptions,
      interceptors: [
        ...(channelOptions.interceptors || []),
        tokenInterceptor(token),
      ],
    };
    this.stub = new RwkvService(target, credentials, options);
    this.maxAttempts = maxAttempts;
    this.resumeWithinMs = resumeWithinMs;
  }

  close() { this.stub.close(); }

  generate(request, options) { return new Generation(this, request, options); }

  async call(method, request, {timeoutMs = Infinity} = {}) {
    const deadline = Date.now() + timeoutMs;
    const attempts = new Attempts(this.maxAttempts, deadline);
    for (;;) {
      try {
        return await new Promise((resolve, reject) => {
          this.stub[method](request, {deadline}, (error, response) => {
            if (error) reject(error);
            else resolve(response);
          });
        });
      } catch (error) {
        await attempts.waitAfter(error);
      }
    }
  }

  async storeState(state, attempts) {
    for (;;) {
      try {
        return await this.sendState(state, attempts.deadline);
      } catch (error) {
        await attempts.waitAfter(error);
      }
    }
  }

  sendState(state, deadline) {
    return new Promise((resolve, reject) => {
      const call = this.stub.PutState({deadline}, (error, response) => {
        if (error) reject(error);
        else resolve(response.state.handle);
      });
      for (let begin = 0; begin < state.length; begin += CHUNK) {
        call.write({data: state.subarray(begin, begin + CHUNK)});
      }
      call.end();
    });
  }
}

module.exports = {Client, detailsOf, RwkvService, grpc};
