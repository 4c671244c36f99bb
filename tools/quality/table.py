#!/usr/bin/env python3
"""Measures what types of weights cost and prints the tables of docs/numerics.md.

    apt install npm bible-kjv
    bazel build -c opt //tools/quality //tools/rwkv_convert:rwkv-convert
    tools/quality/table.py --work-dir ~/quality
    tools/quality/table.py --work-dir ~/quality --by-role
    tools/quality/table.py --work-dir ~/quality --by-activations

The texts are those that were held out from the training of the demo model; they
are fetched as tools/train_demo/README.md says unless WORK_DIR already has them.
Weights are calibrated with the beginnings of texts that the model was trained
on. If RWKVD_FIXTURES is set, the trained models among the fixtures are measured,
too. --by-role measures the demo model with only the matrices of one role
quantized, one role after another. --by-activations measures all models with each
kind of activations.
"""
import argparse
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONVERT = ROOT / "bazel-bin/tools/rwkv_convert/rwkv-convert"
QUALITY = ROOT / "bazel-bin/tools/quality/quality"
SOURCES = ("sotu", "moby", "kjv")
UTF16_SEPARATOR = b"\xff\xff"  # not a character
ROLES = ("att.receptance", "att.key", "att.value", "att.output", "ffn.key",
         "ffn.value", "ffn.receptance", "head")
TYPES = {
    "f32": ["--dtype=f32"],
    "bf16": ["--dtype=bf16"],
    "f16": ["--dtype=f16"],
    "int8": ["--weights=int8"],
    "int8,mixed": ["--weights=int8,mixed"],
    "int4,mixed": ["--weights=int4,mixed"],
    "int4": ["--weights=int4"],
    "int8, calibrated": ["--weights=int8", "--calibration"],
    "int8,mixed, calibrated": ["--weights=int8,mixed", "--calibration"],
    "int4,mixed, calibrated": ["--weights=int4,mixed", "--calibration"],
    "int4, calibrated": ["--weights=int4", "--calibration"],
}
CALIBRATION_EVERY = 12  # training documents: takes one in so many
CALIBRATION_BYTES = 4096  # of each document


def prepare_texts(work: pathlib.Path):
    """Writes the held-out documents to heldout.txt and (in UTF-16)
    heldout.utf16.txt, every sixth of them to heldout.sample.txt, and the text
    for calibration to calibration.txt and calibration.utf16.txt."""
    parts = [work / f"heldout.{source}.txt" for source in SOURCES]
    trained = [work / f"train.{source}.txt" for source in SOURCES]
    if not all(part.exists() for part in parts + trained):
        subprocess.run([sys.executable, ROOT / "tools/train_demo/prepare_data.py",
                        "--work-dir", work], check=True, stdout=sys.stderr)
    documents = [d for part in parts for d in part.read_bytes().split(b"\0")]
    (work / "heldout.txt").write_bytes(b"\0".join(documents))
    (work / "heldout.sample.txt").write_bytes(b"\0".join(documents[::6]))
    (work / "heldout.utf16.txt").write_bytes(UTF16_SEPARATOR.join(
        d.decode().encode("utf-16-le") for d in documents))
    documents = [d for part in trained for d in part.read_bytes().split(b"\0")]
    text = "\n".join(d[:CALIBRATION_BYTES].decode(errors="ignore")
                     for d in documents[::CALIBRATION_EVERY])
    (work / "calibration.txt").write_bytes(text.encode())
    (work / "calibration.utf16.txt").write_bytes(text.encode("utf-16-le"))


def models():
    """Yields (name, checkpoint, text file, its separator, calibration text) for
    each model."""
    yield "demo", ROOT / "models/demo", "heldout.txt", "00", "calibration.txt"
    fixtures = os.environ.get("RWKVD_FIXTURES")
    if not fixtures:
        return
    folder = pathlib.Path(fixtures) / "models"
    yield ("tiny-5v1-730k", folder / "tiny-5v1-730k/model-f32.safetensors",
           "heldout.txt", "00", "calibration.txt")
    yield ("tiny-6v0-1m", folder / "tiny-6v0-1m/model-bf16.safetensors",
           "heldout.utf16.txt", UTF16_SEPARATOR.hex(), "calibration.utf16.txt")


def measure(work, name, checkpoint, text, separator, calibration):
    """Returns one dict of results for each type of weights."""
    converted = {kind: work / "models" / name / kind for kind in TYPES}
    results = []
    for kind in TYPES:
        convert(checkpoint, kind, converted[kind], work / calibration)
        size = sum(f.stat().st_size for f in converted[kind].glob("*.safetensors"))
        results.append({"model": name, "weights": kind, "file_bytes": size,
                        **run_quality(converted["f32"], converted[kind], work,
                                      text, separator)})
    return results


def read_safetensors(path: pathlib.Path):
    """{name: (dtype, shape, bytes)}"""
    data = path.read_bytes()
    size, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    return {name: (t["dtype"], t["shape"],
                   data[8 + size + t["data_offsets"][0]:
                        8 + size + t["data_offsets"][1]])
            for name, t in header.items()}


def write_safetensors(path: pathlib.Path, tensors):
    """Writes the quants first: they begin at multiples of 64 bytes."""
    order = sorted(tensors, key=lambda name: tensors[name][0] != "U8")
    header, end = {}, 0
    for name in order:
        dtype, shape, data = tensors[name]
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [end, end + len(data)]}
        end += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % 64)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            file.write(tensors[name][2])


def run_quality(reference, model, work, text="heldout.txt", separator="00",
                activations="auto"):
    line = subprocess.run(
        [QUALITY, f"--reference={reference}", f"--model={model}",
         f"--text={work / text}", f"--separator={separator}",
         f"--activations={activations}"],
        check=True, capture_output=True, text=True).stdout
    return json.loads(line)


def of_role(name, role):
    return f".{role}.weight." in f".{name}." or name == f"{role}.weight"


def convert(checkpoint, kind, target, calibration=None):
    flags = [f"{flag}={calibration}" if flag == "--calibration" else flag
             for flag in TYPES[kind]]
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([CONVERT, *flags, checkpoint, target], check=True,
                   stdout=sys.stderr, stderr=subprocess.DEVNULL)


def measure_roles(work):
    """Prints the cost of each role when only its matrices are quantized."""
    folder = work / "models/demo"
    for kind in ("f32", "int8", "int4"):
        convert(ROOT / "models/demo", kind, folder / kind)
    original = read_safetensors(folder / "f32/model.safetensors")
    print("| matrices | int8: mean KL | int4: mean KL | int4: bits per byte |\n"
          + "|---" * 4 + "|")
    for role in ROLES:
        figures = {}
        for kind in ("int8", "int4"):
            quantized = read_safetensors(folder / kind / "model.safetensors")
            tensors = {n: t for n, t in original.items() if not of_role(n, role)}
            tensors |= {n: t for n, t in quantized.items() if of_role(n, role)}
            target = folder / "one_role"
            target.mkdir(exist_ok=True)
            write_safetensors(target / "model.safetensors", tensors)
            figures[kind] = run_quality(folder / "f32", target, work,
                                        "heldout.sample.txt")
        int4 = figures["int4"]
        change = 100 * (int4["bits_per_byte"] / int4["reference_bits_per_byte"] - 1)
        print(f"| {role} | {figures['int8']['mean_kl']:.1e} "
              f"| {int4['mean_kl']:.1e} | {change:+.3f} % |", flush=True)


def measure_activations(work, name, checkpoint, text, separator, _):
    """Yields a dict of results for each type of weights, with each kind of
    activations."""
    folder = work / "models" / name
    convert(checkpoint, "f32", folder / "f32")
    for kind in ("int8", "int8,mixed", "int4,mixed"):
        convert(checkpoint, kind, folder / kind)
        size = sum(f.stat().st_size
                   for f in (folder / kind).glob("*.safetensors"))
        for activations in ("auto", "int8"):
            yield {"weights": f"{kind}, {activations}", "file_bytes": size,
                   **run_quality(folder / "f32", folder / kind, work, text,
                                 separator, activations)}


def row(r):
    change = 100 * (r["bits_per_byte"] / r["reference_bits_per_byte"] - 1)
    return (f"| {r['weights']} | {r['file_bytes'] / 1e6:.2f} "
            f"| {r['bits_per_byte']:.4f} | {change:+.3f} % | {r['mean_kl']:.1e} "
            f"| {r['kl_99.9']:.1e} | {100 * r['greedy_agreement']:.2f} % "
            f"| {r['greedy_prefix']:.0f} |")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work-dir", type=pathlib.Path, default="build/quality")
    parser.add_argument("--by-role", action="store_true")
    parser.add_argument("--by-activations", action="store_true")
    args = parser.parse_args()
    work = args.work_dir.resolve()
    work.mkdir(parents=True, exist_ok=True)
    prepare_texts(work)
    if args.by_role:
        measure_roles(work)
        return
    for name, checkpoint, *texts in models():
        of_model = measure_activations if args.by_activations else measure
        results = list(of_model(work, name, checkpoint, *texts))
        print(f"\n{name}: {results[0]['tokens']} tokens of "
              f"{results[0]['documents']} texts, {results[0]['isa']}\n\n"
              "| weights | MB | bits per byte | change | mean KL | 99.9 % KL "
              "| greedy agreement | first difference after |\n" + "|---" * 8 + "|")
        for result in results:
            print(row(result), flush=True)


if __name__ == "__main__":
    main()
