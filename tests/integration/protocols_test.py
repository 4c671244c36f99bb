# SPDX-License-Identifier: Apache-2.0
"""gRPC's standard services, and the field `model` of all requests, as Python's
grpcio and its package for reflection use them."""

import json
import unittest

import grpc
import health_pb2
import metrics
from answers import Answer, request, start_call
from error_details import details_of, fields_of
from google.protobuf import descriptor_pool, message_factory
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import \
    ProtoReflectionDescriptorDatabase
from rwkv.v1 import rwkv_pb2 as pb
from rwkv.v1 import rwkv_pb2_grpc
from rwkvd_process import PATIENCE, SERVICE, VLLM_SERVICE, rwkvd, wait_until

SERVING = health_pb2.HealthCheckResponse.SERVING
CHANNELZ = "grpc.channelz.v1.Channelz"
REFLECTION_VERSIONS = ("grpc.reflection.v1", "grpc.reflection.v1alpha")
NAME = "served-name"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


def list_services(channel, version):
    """The names that the server lists under a version of the protocol. The
    messages of both versions are the same."""
    call = channel.stream_stream(
        f"/{version}.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (response,) = call(iter([request]), timeout=PATIENCE)
    return {service.name for service in response.list_services_response.service}


class ReflectedClient:
    """A client that knows messages only from the server's reflection."""

    def __init__(self, channel):
        self._channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self._pool = descriptor_pool.DescriptorPool(self.database)

    def call(self, service, method, **fields):
        """Makes a unary call."""
        descriptor = self._pool.FindServiceByName(service)
        method = descriptor.FindMethodByName(method)
        factory = message_factory.MessageFactory(self._pool)
        request, response = map(factory.GetPrototype, (method.input_type,
                                                       method.output_type))
        path = f"/{service}/{method.name}"
        function = self._channel.unary_unary(path, request.SerializeToString,
                                             response.FromString)
        return function(request(**fields), timeout=PATIENCE)


class ProtocolsTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        manager = rwkvd(f"--model_name={NAME}")
        cls.server = manager.__enter__()
        cls.addClassCleanup(manager.__exit__, None, None, None)

    def test_both_versions_of_reflection_list_the_services(self):
        expected = {SERVICE, VLLM_SERVICE, "grpc.health.v1.Health",
                    *(f"{version}.ServerReflection"
                      for version in REFLECTION_VERSIONS)}
        for version in REFLECTION_VERSIONS:
            self.assertEqual(list_services(self.server.channel, version),
                             expected)

    def test_client_without_the_contract_calls_the_server(self):
        client = ReflectedClient(self.server.channel)
        self.assertIn(SERVICE, client.database.get_services())
        response = client.call(SERVICE, "Tokenize", text="In the beginning")
        self.assertEqual(
            list(response.ids),
            list(self.server.stub.Tokenize(
                pb.TokenizeRequest(text="In the beginning")).ids))

    def test_health_is_listed_checked_and_watched(self):
        client = ReflectedClient(self.server.channel)
        response = client.call("grpc.health.v1.Health", "List")
        self.assertEqual({name: health.status for name, health
                          in response.statuses.items()},
                         {"": SERVING, SERVICE: SERVING,
                          VLLM_SERVICE: SERVING})
        for name in ("", SERVICE, VLLM_SERVICE):
            self.assertEqual(self.server.health.check(name), SERVING)
            watch = self.server.health.watch(name)
            self.assertEqual(next(watch).status, SERVING)
            watch.cancel()

    def calls_of_all_methods(self, model, **options):
        """Functions, by method, that make a call for a model."""
        stub = self.server.stub
        prompt = pb.Input(text="In the beginning")
        streams = {
            "Generate": lambda: list(stub.Generate(pb.GenerateRequest(
                prompt=prompt, max_tokens=1, model=model), **options)),
            "GetState": lambda: list(stub.GetState(pb.GetStateRequest(
                handle="h", model=model), **options)),
            "ScoreDocument": lambda: list(stub.ScoreDocument(iter(
                [pb.ScoreDocumentRequest(part=prompt, model=model)]),
                **options)),
            "PutState": lambda: stub.PutState(iter(
                [pb.PutStateRequest(data=b"d", model=model)]), **options),
        }
        unary = {
            "Tokenize": {"text": "t"},
            "Detokenize": {"ids": [1]},
            "Score": {"context": prompt, "continuations": [prompt]},
            "UnpinPrefix": {"name": "n"},
            "ListPinnedPrefixes": {},
            "DeleteState": {"handle": "h"},
            "GetModel": {},
            "GetServerInfo": {},
            "GetLoad": {},
        }
        for method, fields in unary.items():
            request = getattr(pb, method + "Request")(model=model, **fields)
            streams[method] = (
                lambda f=getattr(stub, method), r=request: f(r, **options))
        service = pb.DESCRIPTOR.services_by_name["RwkvService"]
        self.assertEqual(sorted(streams), sorted(service.methods_by_name))
        return streams

    # The errors of calls for the right model, whose state, prefix or data does
    # not exist.
    OTHER_ERRORS = {"GetState", "PutState", "UnpinPrefix", "DeleteState"}

    def test_calls_for_another_model_are_not_found(self):
        for method, call in self.calls_of_all_methods("other").items():
            with self.subTest(method=method):
                with self.assertRaises(grpc.RpcError) as caught:
                    call()
                error = caught.exception
                self.assertEqual(error.code(), grpc.StatusCode.NOT_FOUND)
                self.assertIn('"other" is not served', error.details())
                self.assertIn(f'"{NAME}"', error.details())

    def test_error_of_every_method_has_the_identity_of_the_call(self):
        metadata = [("x-request-id", "order-1"),
                    ("traceparent", f"00-{TRACE}-{PARENT}-00")]
        calls = self.calls_of_all_methods("other", metadata=metadata)
        for method, call in calls.items():
            with self.subTest(method=method):
                with self.assertRaises(grpc.RpcError) as caught:
                    call()
                returned = dict(caught.exception.initial_metadata())
                self.assertEqual(returned["x-request-id"], "order-1")
                self.assertRegex(returned["traceparent"],
                                 rf"^00-{TRACE}-(?!{PARENT})[0-9a-f]{{16}}-00$")
                details = details_of(caught.exception)
                info = details[error_details_pb2.ErrorInfo]
                self.assertEqual(info.reason, "MODEL_NOT_FOUND")
                self.assertEqual(info.metadata["request_id"], "order-1")

    def test_calls_of_other_services_have_an_identity_too(self):
        channel = self.server.channel
        unknown_name = health_pb2.HealthCheckRequest(
            service="absent").SerializeToString()
        calls = (
            channel.unary_unary("/grpc.health.v1.Health/Check"),
            channel.unary_unary(f"/{SERVICE}/Sing"),
            *(channel.stream_stream(
                f"/{version}.ServerReflection/ServerReflectionInfo")
              for version in REFLECTION_VERSIONS))
        for call in calls:
            with self.assertRaises(grpc.RpcError) as caught:
                if hasattr(call, "with_call"):
                    call(unknown_name, timeout=PATIENCE,
                         metadata=[("x-request-id", "order-1")])
                else:
                    list(call(iter([b"\xff"]), timeout=PATIENCE,
                              metadata=[("x-request-id", "order-1")]))
            returned = dict(caught.exception.initial_metadata())
            self.assertEqual(returned["x-request-id"], "order-1")
            self.assertRegex(returned["traceparent"],
                             r"^00-[0-9a-f]{32}-[0-9a-f]{16}-00$")
            info = details_of(caught.exception)[error_details_pb2.ErrorInfo]
            self.assertEqual(info.metadata["request_id"], "order-1")

    def test_refused_call_is_repeated_by_grpc(self):
        policy = {"maxAttempts": 4, "initialBackoff": "0.1s",
                  "maxBackoff": "1s", "backoffMultiplier": 2,
                  "retryableStatusCodes": ["RESOURCE_EXHAUSTED"]}
        config = {"methodConfig": [{"name": [{}], "retryPolicy": policy}]}
        endless = request(max_tokens=1_000_000)
        endless.sampling.never_end = True
        refused = 'rwkv_requests_rejected_total{reason="queue_full"}'
        with rwkvd("--max_running=1", "--max_queued=1") as server:
            running = start_call(server.stub, endless)
            waiting = server.stub.Generate(endless)
            wait_until(lambda: metrics.gauge(server, "rwkv_queue_depth") == 1,
                       "a full queue")
            with grpc.insecure_channel(server.address, options=[
                    ("grpc.service_config", json.dumps(config))]) as channel:
                call = rwkv_pb2_grpc.RwkvServiceStub(channel).Generate(
                    request(max_tokens=1), timeout=PATIENCE)
                wait_until(lambda: metrics.gauge(server, refused) >= 1,
                           "the refusal")
                waiting.cancel()
                running.cancel()
                self.assertEqual(len(Answer(call).ids), 1)

    def test_malformed_identity_is_replaced(self):
        for metadata in (
                (), [("x-request-id", "a b"), ("traceparent", "00-0-0-00")],
                [("x-request-id", 129 * "a")],
                [("x-request-id", "a"), ("x-request-id", "b")]):
            with self.subTest(metadata=metadata):
                _, call = self.server.stub.GetLoad.with_call(
                    pb.GetLoadRequest(), metadata=metadata, timeout=PATIENCE)
                returned = dict(call.initial_metadata())
                self.assertRegex(returned["x-request-id"], r"^[0-9a-f]{32}$")
                self.assertRegex(returned["traceparent"],
                                 r"^00-[0-9a-f]{32}-[0-9a-f]{16}-00$")

    def test_error_names_what_does_not_exist(self):
        stub = self.server.stub
        calls = (
            ("model", "model", lambda: stub.GetModel(
                pb.GetModelRequest(model="absent"))),
            ("state", "handle", lambda: list(stub.GetState(
                pb.GetStateRequest(handle="absent")))),
            ("state", "handle", lambda: stub.DeleteState(
                pb.DeleteStateRequest(handle="absent"))),
            ("state", "state_handle", lambda: list(stub.Generate(
                pb.GenerateRequest(state_handle="absent")))),
            ("pinned prefix", "name", lambda: stub.UnpinPrefix(
                pb.UnpinPrefixRequest(name="absent"))),
            ("service", "service", lambda: self.server.health.check("absent")))
        for kind, field, call in calls:
            with self.subTest(kind=kind, field=field):
                with self.assertRaises(grpc.RpcError) as caught:
                    call()
                error = caught.exception
                self.assertEqual(error.code(), grpc.StatusCode.NOT_FOUND)
                resource = details_of(error)[error_details_pb2.ResourceInfo]
                self.assertEqual(resource.resource_type, kind)
                self.assertEqual(resource.resource_name, "absent")
                self.assertEqual(fields_of(error), [field])

    def test_calls_for_the_served_model_and_for_any_model_are_answered(self):
        for model in ("", NAME):
            for method, call in self.calls_of_all_methods(model).items():
                with self.subTest(method=method, model=model):
                    if method in self.OTHER_ERRORS:
                        with self.assertRaises(grpc.RpcError) as caught:
                            call()
                        self.assertNotIn("is not served",
                                         caught.exception.details())
                    else:
                        call()

    def test_channelz_is_off_by_default(self):
        client = ReflectedClient(self.server.channel)
        self.assertNotIn(CHANNELZ, client.database.get_services())
        with self.assertRaises(grpc.RpcError) as caught:
            client.call(CHANNELZ, "GetServers")
        self.assertEqual(caught.exception.code(),
                         grpc.StatusCode.UNIMPLEMENTED)

    def test_channelz_shows_the_connections_and_their_calls(self):
        with rwkvd("--channelz") as server:
            client = ReflectedClient(server.channel)
            self.assertIn(CHANNELZ, client.database.get_services())
            (shown,) = client.call(CHANNELZ, "GetServers").server
            self.assertGreater(shown.data.calls_started, 0)
            answer = client.call(CHANNELZ, "GetServerSockets",
                                 server_id=shown.ref.server_id)
            (socket,) = [client.call(CHANNELZ, "GetSocket",
                                     socket_id=reference.socket_id).socket
                         for reference in answer.socket_ref]
            self.assertEqual(socket.remote.tcpip_address.ip_address,
                             bytes([127, 0, 0, 1]))
            self.assertGreater(socket.data.streams_started, 0)

    def test_log_has_the_options_in_force(self):
        with rwkvd("--max_queued=7", "--noreflection", "--max_running=64",
                   f"--model_name={NAME}") as server:
            log = server.log()
        self.assertRegex(log, r"info option --max_queued=7 \(default 256\)\n")
        self.assertRegex(log, r"info option --reflection=false \(default true\)\n")
        self.assertRegex(log, r"info option --model=\S+\n")
        self.assertNotIn("option --max_running", log)  # the default
        self.assertRegex(log, rf"info derived: --model_name={NAME} "
                         r"--threads=\d+ --isa=\w+\n")
        self.assertRegex(log, r"info derived: --max_connections=\d+ "
                         r"--max_connections_per_peer=\d+\n")


if __name__ == "__main__":
    unittest.main()
