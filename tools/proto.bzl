# SPDX-License-Identifier: Apache-2.0
"""Messages and services, compiled by Debian's protoc and its gRPC plugins.

`protos` are files of the package; `root` is the folder that their import paths
start from, relative to the workspace.
"""

load("@rules_cc//cc:defs.bzl", "cc_library")

def _generate(name, protos, root, suffixes, arguments, **kwargs):
    """Declares a rule that runs protoc. Returns the files that it writes."""
    outs = [
        proto[:-len(".proto")] + suffix
        for proto in protos
        for suffix in suffixes
    ]
    native.genrule(
        name = name,
        srcs = protos,
        outs = outs,
        cmd = " ".join(["/usr/bin/protoc", "--proto_path=" + root] + [
            argument.replace("OUT", "$(GENDIR)/" + root)
            for argument in arguments
        ] + ["$(SRCS)"]),
        **kwargs
    )
    return outs

def proto_cc_library(name, protos, root, services = False, **kwargs):
    """A cc_library whose headers are included as the protos are imported.

    Args:
      name: name of the library.
      protos: see above.
      root: see above.
      services: whether the protos have services, whose stubs are wanted.
      **kwargs: passed to cc_library.
    """
    suffixes = [".pb.cc", ".pb.h"]
    arguments = ["--cpp_out=OUT"]
    if services:
        suffixes += [".grpc.pb.cc", ".grpc.pb.h"]
        arguments += [
            "--plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin",
            "--grpc_out=OUT",
        ]
    files = _generate(name + "_files", protos, root, suffixes, arguments)
    cc_library(
        name = name,
        srcs = [file for file in files if file.endswith(".cc")],
        hdrs = [file for file in files if file.endswith(".h")],
        strip_include_prefix = "/" + root,
        deps = ["//third_party:protobuf"] +
               (["//third_party:grpc"] if services else []),
        **kwargs
    )

def proto_py_files(name, protos, root, services = False, **kwargs):
    """Modules for Python, imported as the protos once `root` is on its path.

    Args:
      name: name of the rule.
      protos: see above.
      root: see above.
      services: whether the protos have services, whose stubs are wanted.
      **kwargs: passed to genrule.
    """
    suffixes = ["_pb2.py"]
    arguments = ["--python_out=OUT"]
    if services:
        suffixes.append("_pb2_grpc.py")
        arguments += [
            "--plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin",
            "--grpc_python_out=OUT",
        ]
    _generate(name, protos, root, suffixes, arguments, **kwargs)
