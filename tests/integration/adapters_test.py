# SPDX-License-Identifier: Apache-2.0
"""A real rwkvd that merges LoRA adapters while it loads: its answers are
bit-identical to those of the model that rwkv-convert has merged. Also
rwkv-convert --inspect."""

import json
import os
import random
import struct
import subprocess
import tempfile
import unittest

from answers import generate, request
from checkpoints import file_bytes, read_model
from pth_files import network, pth_bytes
from rwkv.v1 import rwkv_pb2 as pb
from rwkvd_process import MODEL, PATIENCE, rwkvd
from startup import assert_refuses

CONVERT = os.environ.get("RWKVD_CONVERT", "tools/rwkv_convert/rwkv-convert")

RANK = 2
MATRICES = ("blocks.0.att.receptance", "blocks.1.ffn.key",
            "blocks.1.ffn.value")


def convert(*arguments, code=0):
    """The standard output of rwkv-convert and its standard error."""
    result = subprocess.run([CONVERT, *arguments], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True,
                            timeout=PATIENCE, check=False)
    if result.returncode != code:
        raise AssertionError(f"{result.returncode}: {result.stderr}")
    return result.stdout, result.stderr


def served(*flags, model=MODEL):
    """The fingerprint, the tokens of an answer, and the log."""
    with rwkvd("--threads=1", "--model_name=it", *flags,
               model=model) as server:
        description = server.stub.GetModel(pb.GetModelRequest(),
                                           timeout=PATIENCE)
        answer = generate(server.stub, request(max_tokens=20, top_logprobs=3))
        return (description.fingerprint,
                [token.SerializeToString(deterministic=True)
                 for token in answer.tokens], server.log())


class AdaptersTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.base = read_model(MODEL)

    def path(self, name):
        return os.path.join(self.folder, name)

    def low_rank(self, prefix="", suffix="", matrices=MATRICES, seed=1):
        """The matrices of a random adapter."""
        numbers = random.Random(seed)
        tensors = {}
        for name in matrices:
            rows, columns = self.base[name + ".weight"][1]
            for part, shape in (("lora_A", [RANK, columns]),
                                ("lora_B", [rows, RANK])):
                values = [numbers.gauss(0, 0.3)
                          for _ in range(shape[0] * shape[1])]
                tensors[f"{prefix}{name}.{part}{suffix}"] = (
                    "F32", shape, struct.pack(f"<{len(values)}f", *values))
        return tensors

    def write_peft(self, name="peft", **config):
        folder = self.path(name)
        os.mkdir(folder)
        with open(os.path.join(folder, "adapter_config.json"), "w") as file:
            json.dump({"peft_type": "LORA", "r": RANK, "lora_alpha": 3,
                       "use_rslora": False, **config}, file)
        tensors = self.low_rank("base_model.model.rwkv.", ".weight")
        with open(os.path.join(folder, "adapter_model.safetensors"),
                  "wb") as file:
            file.write(file_bytes(tensors))
        return folder

    def write_pth(self):
        path = self.path("rwkv-0.pth")
        with open(path, "wb") as file:
            file.write(pth_bytes(network(self.low_rank())))
        return path

    def test_merging_while_loading_equals_merging_before(self):
        plain = served()
        adapter = self.write_peft()
        for weights in ("as_stored", "int8"):
            with self.subTest(weights=weights):
                output = self.path(weights)
                convert(f"--adapter={adapter}", "--verify", MODEL, output)
                merged = served(f"--weights={weights}",
                                f"--adapter=tuned={adapter}")
                self.assertEqual(
                    merged[:2],
                    served(f"--weights={weights}", model=output)[:2])
                self.assertNotEqual(merged[0], plain[0])
                self.assertNotEqual(merged[1], plain[1])
        size = sum(len(self.base[name + ".weight"][2]) for name in MATRICES)
        log = merged[2]
        self.assertIn("merged the adapter tuned", log)
        self.assertIn("3 matrices changed, 0 tensors replaced", log)
        self.assertIn(f"merged tensors take {size} bytes", log)

    def test_old_file_needs_alpha(self):
        path = self.write_pth()
        assert_refuses(self, [f"--model={MODEL}", f"--adapter={path}"], path,
                       "--adapter_alpha")
        self.assertEqual(
            served(f"--adapter={path}", "--adapter_alpha=3")[:2],
            served(f"--adapter={self.write_peft()}")[:2])

    def test_adapter_of_another_model_is_refused(self):
        tensors = self.low_rank(matrices=MATRICES[:1])
        moved = {name.replace("blocks.0", "blocks.77"): value
                 for name, value in tensors.items()}
        folder = self.write_peft()
        path = os.path.join(folder, "adapter_model.safetensors")
        with open(path, "wb") as file:
            file.write(file_bytes({**tensors, **moved}))
        for refuse in (
                lambda: assert_refuses(
                    self, [f"--model={MODEL}", f"--adapter={folder}"], path,
                    "1 tensors have no place",
                    "blocks.77.att.receptance.weight"),
                lambda: self.assertIn(
                    "blocks.77.att.receptance.weight",
                    convert(f"--adapter={folder}", MODEL, self.path("out"),
                            code=1)[1])):
            refuse()
        text = convert("--inspect", f"--adapter={folder}", MODEL)[0]
        self.assertIn("does not fit", text)
        self.assertFalse(os.path.exists(self.path("out")))

    def test_flags_are_checked(self):
        for flags, word in (
                (["--adapter="], "[NAME=]PATH"),
                (["--adapter_alpha=3"], "--adapter"),
                (["--adapter=x", "--adapter_alpha=nan"], "--adapter_alpha"),
                ([f"--adapter={self.path('absent')}"], "absent")):
            with self.subTest(flags=flags):
                assert_refuses(self, [f"--model={MODEL}", *flags], word)

    def test_inspect_describes_a_model(self):
        text = convert("--inspect", MODEL)[0]
        inspected = json.loads(convert("--inspect", "--json", MODEL)[0])
        with rwkvd("--threads=1", "--model_name=it") as server:
            model = server.stub.GetModel(pb.GetModelRequest(),
                                         timeout=PATIENCE)
        self.assertEqual(inspected["kind"], "model")
        self.assertEqual(inspected["model"]["layers"], model.num_layers)
        self.assertEqual(inspected["model"]["vocabulary"], model.vocab_size)
        self.assertEqual(inspected["model"]["parameters"],
                         model.num_parameters)
        self.assertEqual(inspected["state_bytes"], model.state_bytes)
        self.assertEqual(inspected["tensors"], len(self.base))
        self.assertEqual(inspected["tensor_bytes"],
                         sum(len(data) for _, _, data in self.base.values()))
        self.assertEqual(
            sum(group["tensors"] for group in inspected["tensor_groups"]),
            len(self.base))
        for word in ("rwkv4", "native layout", "blocks.*.att.key.weight",
                     "int4,mixed", "in addition: activations, states"):
            self.assertIn(word, text)
        self.assertIn("caches", inspected["memory_excludes"])

    def test_inspect_names_missing_tensors(self):
        del self.base["blocks.1.ffn.key.weight"]
        path = self.path("model.safetensors")
        with open(path, "wb") as file:
            file.write(file_bytes(self.base))
        text = convert("--inspect", path)[0]
        (line,) = [line for line in text.splitlines() if "not served" in line]
        self.assertIn('"blocks.1.ffn.key.weight" is missing', line)
        inspected = json.loads(convert("--inspect", "--json", path)[0])
        self.assertIn("blocks.1.ffn.key.weight", inspected["problem"])

    def test_inspect_describes_an_adapter(self):
        inspected = json.loads(
            convert("--inspect", "--json", self.write_pth())[0])
        self.assertEqual(inspected["kind"], "adapter")
        (adapter,) = inspected["adapters"]
        self.assertEqual(adapter["matrices"], len(MATRICES))
        self.assertEqual(adapter["max_rank"], RANK)
        self.assertFalse(adapter["has_alpha"])

    def test_inspect_refuses_other_files(self):
        path = self.path("model.pth")
        with open(path, "wb") as file:
            file.write(b"<!DOCTYPE html>\n")
        error = convert("--inspect", path, code=1)[1]
        self.assertEqual(len(error.splitlines()), 1)
        self.assertIn(path, error)
        self.assertIn("web page", error)


if __name__ == "__main__":
    unittest.main()
