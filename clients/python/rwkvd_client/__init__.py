# SPDX-License-Identifier: Apache-2.0
"""A client of rwkvd, a gRPC server for RWKV language models."""

from rwkvd_client.client import Client, Generation
from rwkvd_client.errors import ErrorDetails, FieldViolation, details_of
from rwkvd_client.v1 import rwkv_pb2 as pb
from rwkvd_client.v1.rwkv_pb2_grpc import RwkvServiceStub

__all__ = ["Client", "ErrorDetails", "FieldViolation", "Generation",
           "RwkvServiceStub", "details_of", "pb"]
