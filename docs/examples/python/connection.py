# SPDX-License-Identifier: Apache-2.0
"""Connects the examples to a server, with or without TLS and a token."""

import argparse

import grpc

from rwkvd_client import Client


def add_arguments(parser):
    parser.add_argument("--server", default="127.0.0.1:50051")
    parser.add_argument("--tls-ca", metavar="FILE",
                        help="use TLS; who may have issued the server's "
                        "certificate")
    parser.add_argument("--tls-cert", metavar="FILE",
                        help="this client's certificate, if the server needs "
                        "one")
    parser.add_argument("--tls-key", metavar="FILE", help="its private key")
    parser.add_argument("--token-file", type=argparse.FileType(),
                        help="for a server with --auth_tokens")


def _contents(path):
    if path is None:
        return None
    with open(path, "rb") as file:
        return file.read()


def _channel(arguments):
    if arguments.tls_ca is None:
        return grpc.insecure_channel(arguments.server)
    return grpc.secure_channel(arguments.server, grpc.ssl_channel_credentials(
        root_certificates=_contents(arguments.tls_ca),
        private_key=_contents(arguments.tls_key),
        certificate_chain=_contents(arguments.tls_cert)))


def connect(arguments):
    token = arguments.token_file and arguments.token_file.read().strip()
    return Client(_channel(arguments), token=token)
