// SPDX-License-Identifier: Apache-2.0
// What an error of the server says in addition to its code and message.
'use strict';

const path = require('path');
const protoLoader = require('@grpc/proto-loader');

const TYPES = protoLoader.loadSync(
    ['google/rpc/status.proto', 'google/rpc/error_details.proto'],
    {includeDirs: [path.join(__dirname, 'proto')], keepCase: true});

function decode(name, bytes) {
  // Every message of proto-loader's definitions can be decoded with its own
  // definition; Any is decoded by its type.
  return TYPES[name].deserialize(bytes);
}

function take(packed, details) {
  const name = packed.type_url.slice(packed.type_url.lastIndexOf('/') + 1);
  if (!(name in TYPES)) return;
  const message = decode(name, packed.value);
  switch (name) {
    case 'google.rpc.ErrorInfo':
      details.reason = message.reason;
      details.domain = message.domain;
      details.metadata = message.metadata ?? {};
      break;
    case 'google.rpc.BadRequest':
      details.fieldViolations = (message.field_violations ?? [])
          .map(({field, description}) => ({field, description}));
      break;
    case 'google.rpc.RetryInfo': {
      const delay = message.retry_delay ?? {};
      details.retryDelayMs =
          Number(delay.seconds ?? 0) * 1000 + (delay.nanos ?? 0) / 1e6;
      break;
    }
    case 'google.rpc.QuotaFailure':
      details.quota = message.violations?.[0]?.subject ?? '';
      break;
    case 'google.rpc.ResourceInfo':
      details.resourceType = message.resource_type;
      details.resourceName = message.resource_name;
  }
}

function detailsOf(error) {
  const details = {
    reason: '', domain: '', metadata: {}, fieldViolations: [], quota: '',
    resourceType: '', resourceName: '', retryDelayMs: null,
  };
  const [bytes] = error.metadata?.get('grpc-status-details-bin') ?? [];
  if (bytes !== undefined) {
    try {
      const status = decode('google.rpc.Status', bytes);
      for (const packed of status.details ?? []) take(packed, details);
    } catch {
      // As if there were none.
    }
  }
  // gRPC's own header: what is no number of milliseconds forbids retries.
  const [pushback] = error.metadata?.get('grpc-retry-pushback-ms') ?? [];
  if (pushback !== undefined) {
    details.retryDelayMs = /^\d+$/.test(pushback) ? Number(pushback) : -1;
  }
  return details;
}

module.exports = {detailsOf};
