"""Fuzz targets: libFuzzer binaries whose corpora ordinary tests replay."""

def fuzz_target(name, deps):
    """A fuzz target NAME_fuzz.cc, which defines LLVMFuzzerTestOneInput.

    Defines NAME_fuzz_test, which runs it on every file of corpus/NAME, and
    NAME_fuzzer, which looks for new inputs (--config=fuzz only).

    Args:
      name: of the format that is parsed, such as "shard_index".
      deps: of NAME_fuzz.cc, in addition to what all fuzz targets use.
    """
    native.cc_library(
        name = name + "_fuzz",
        testonly = True,
        srcs = [name + "_fuzz.cc"],
        deps = deps + [
            ":fuzz_support",
            "//core/base:check",
            "//third_party:absl",
        ],
        # Only a main function that is linked later calls into it.
        alwayslink = True,
    )
    native.cc_test(
        name = name + "_fuzz_test",
        size = "small",
        args = [native.package_name() + "/corpus/" + name],
        data = native.glob(["corpus/%s/*" % name]),
        deps = [
            ":replay_main",
            ":%s_fuzz" % name,
        ],
    )
    native.cc_binary(
        name = name + "_fuzzer",
        testonly = True,
        linkopts = ["-fsanitize=fuzzer"],
        tags = ["manual"],
        deps = [":%s_fuzz" % name],
    )
