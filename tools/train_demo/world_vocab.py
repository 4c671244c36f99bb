"""The World vocabulary file and its encoder.

A file has one line per token: `ID LITERAL BYTELEN`. ID ascends from 1 without
gaps, LITERAL is a Python str or bytes literal (it may contain spaces), BYTELEN
is the length of the token in bytes. Id 0 means end of text and is not listed.
Encoding is greedy: at each position the longest token that matches the bytes.
"""
import ast


def literal(token: bytes) -> str:
    """The Python literal of a token: str if it is valid UTF-8, else bytes."""
    try:
        return repr(token.decode("utf-8"))
    except UnicodeDecodeError:
        return repr(token)


def write(path, tokens):
    """Writes tokens (list of bytes; tokens[0] gets id 1) in World format."""
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        for i, token in enumerate(tokens, start=1):
            f.write(f"{i} {literal(token)} {len(token)}\n")


def read(path):
    """Reads a World file. Returns a list of bytes indexed by id; [0] is b''."""
    tokens = [b""]
    with open(path, encoding="utf-8", newline="\n") as f:
        for line in f:
            number, rest = line.rstrip("\r\n").split(" ", 1)
            text, length = rest.rsplit(" ", 1)
            value = ast.literal_eval(text)
            token = value.encode("utf-8") if isinstance(value, str) else value
            if int(number) != len(tokens) or int(length) != len(token):
                raise ValueError(f"{path}: bad line {line!r}")
            tokens.append(token)
    return tokens


class Encoder:
    """Greedy longest match on bytes. Immutable after construction."""

    def __init__(self, tokens):
        """tokens: list of bytes indexed by id, as read() returns it."""
        self._ids = {t: i for i, t in enumerate(tokens) if i > 0}
        # For each first byte: the lengths worth trying, longest first.
        lengths = [set() for _ in range(256)]
        for t in self._ids:
            lengths[t[0]].add(len(t))
        self._lengths = [sorted(s, reverse=True) for s in lengths]

    def encode(self, data: bytes):
        """Returns the list of ids of data."""
        ids, lengths, out, i = self._ids, self._lengths, [], 0
        while i < len(data):
            for n in lengths[data[i]]:
                token = ids.get(data[i:i + n])
                if token is not None:
                    out.append(token)
                    i += n
                    break
            else:
                raise ValueError(f"no token for byte {data[i]} at {i}")
        return out
