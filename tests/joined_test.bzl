# SPDX-License-Identifier: Apache-2.0
"""Tests whose source files are compiled together."""

load("@rules_cc//cc:defs.bzl", "cc_library", "cc_test")

def joined_cc_test(name, srcs, deps = [], **kwargs):
    """A cc_test whose source files are compiled as if they were one.

    The headers of GoogleTest, Abseil and gRPC are then read once per test and
    not once per file, which is most of the time that tests take to compile. So
    no two source files of a test define the same name, and each still includes
    what it uses.

    Args:
      name: name of the test.
      srcs: source files and headers.
      deps: as those of cc_test.
      **kwargs: passed to cc_test.
    """
    sources = [src for src in srcs if src.endswith(".cc")]
    joined = name + "_joined.cc"
    native.genrule(
        name = name + "_joined",
        testonly = True,
        srcs = sources,
        outs = [joined],
        cmd = "for file in $(SRCS); do echo \"#include \\\"$$file\\\"\"; done > $@",
    )
    cc_library(
        name = name + "_sources",
        testonly = True,
        textual_hdrs = sources,
    )
    cc_test(
        name = name,
        srcs = [joined] + [src for src in srcs if not src.endswith(".cc")],
        deps = deps + [":" + name + "_sources"],
        **kwargs
    )
