# SPDX-License-Identifier: Apache-2.0
"""Libraries and tests whose source files are compiled together.

Reading the headers of Abseil, gRPC and GoogleTest takes most of the time that a
file takes to compile. A target that is compiled as one file reads them once. So
no two source files of such a target define the same name, and each still
includes what it uses. --config=separate compiles every file alone: faster after
a change of one file, slower for all.
"""

load("@rules_cc//cc:defs.bzl", "cc_library", "cc_test")

def _join(name, srcs, alone, testonly):
    """Declares a file that includes all .cc files of srcs but those of alone.

    Returns the srcs and the textual_hdrs of the target called name."""
    sources = [src for src in srcs if src.endswith(".cc") and src not in alone]
    joined = name + "_joined.cc"
    native.genrule(
        name = name + "_joined",
        testonly = testonly,
        srcs = sources,
        outs = [joined],
        cmd = "for file in $(SRCS); do echo \"#include \\\"$$file\\\"\"; done > $@",
    )
    rest = [src for src in srcs if src not in sources]
    return (
        select({
            "//tools:separate": srcs,
            "//conditions:default": [joined] + rest,
        }),
        select({
            "//tools:separate": [],
            "//conditions:default": sources,
        }),
    )

def joined_cc_library(
        name,
        srcs = [],
        hdrs = [],
        modules = [],
        alone = [],
        copts = [],
        **kwargs):
    """A cc_library whose source files are compiled as if they were one.

    Args:
      name: name of the library.
      srcs: source files, and headers that other libraries do not include.
      hdrs: headers without a source file of the same name.
      modules: names of pairs of a source file and its header.
      alone: source files to compile alone, since they define names that others
        define, too.
      copts: as those of cc_library.
      **kwargs: passed to cc_library.
    """
    sources = srcs + [module + ".cc" for module in modules]
    srcs, included = _join(name, sources, alone, kwargs.get("testonly", False))
    cc_library(
        name = name,
        srcs = srcs,
        hdrs = hdrs + [module + ".h" for module in modules],
        # A class may have members of types of its file's anonymous namespace.
        copts = copts + ["-Wno-subobject-linkage"],
        textual_hdrs = included,
        **kwargs
    )

def joined_cc_test(name, srcs, deps = [], **kwargs):
    """A cc_test whose source files are compiled as if they were one.

    Args:
      name: name of the test.
      srcs: source files and headers.
      deps: as those of cc_test.
      **kwargs: passed to cc_test.
    """
    srcs, included = _join(name, srcs, [], True)
    cc_library(
        name = name + "_sources",
        testonly = True,
        textual_hdrs = included,
    )
    cc_test(
        name = name,
        srcs = srcs,
        deps = deps + [":" + name + "_sources"],
        **kwargs
    )
