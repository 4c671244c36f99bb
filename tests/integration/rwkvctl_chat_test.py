# SPDX-License-Identifier: Apache-2.0
"""Conversations of the real rwkvctl with a real rwkvd, through pipes and a
terminal."""

import fcntl
import json
import os
import pty
import re
import select
import subprocess
import tempfile
import termios
import time
import unittest

from checkpoints import write_endless_model
from rwkvd_process import PATIENCE, RWKVCTL, rwkvd

CTRL_C, CTRL_D = b"\x03", b"\x04"


class Terminal:
    """rwkvctl chat in a terminal."""

    def __init__(self, address, *flags):
        self.master, slave = pty.openpty()
        self.seen = ""
        self.process = subprocess.Popen(
            [RWKVCTL, "chat", f"--server={address}", *flags], stdin=slave,
            stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)

    def type(self, data):
        os.write(self.master, data)

    def wait_for(self, pattern):
        """Reads until the pattern matches; returns the text up to its end."""
        deadline = time.monotonic() + PATIENCE
        while True:
            match = re.search(pattern, self.seen)
            if match:
                text = self.seen[:match.end()]
                self.seen = self.seen[match.end():]
                return text
            left = deadline - time.monotonic()
            if not select.select([self.master], [], [], max(0, left))[0]:
                raise AssertionError(f"no {pattern!r} in {self.seen!r}")
            self.seen += os.read(self.master, 65536).decode(errors="replace")

    def end(self):
        """The exit code."""
        code = self.process.wait(timeout=PATIENCE)
        os.close(self.master)
        return code


class ChatTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        manager = rwkvd()
        cls.server = manager.__enter__()
        cls.addClassCleanup(manager.__exit__, None, None, None)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def chat(self, lines, *flags, code=0):
        result = subprocess.run(
            [RWKVCTL, "chat", f"--server={self.server.address}",
             "--max_tokens=12", "--seed=1", *flags],
            input="\n".join(lines) + "\n", stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False)
        self.assertEqual(result.returncode, code, result.stderr)
        return result.stdout, result.stderr

    def saved(self, path):
        with open(path) as file:
            return json.load(file)

    def test_conversation_through_pipes_prints_the_answers(self):
        path = os.path.join(self.folder, "talk.json")
        out, err = self.chat(["Hello.", "And \\", "then?", "", f"/save {path}"],
                             "--system=Be brief.")
        self.assertEqual(err, "")
        talk = self.saved(path)
        self.assertEqual(talk["template"], "world")
        self.assertEqual(talk["system"], "Be brief.")
        self.assertEqual([turn["user"] for turn in talk["turns"]],
                         ["Hello.", "And \nthen?"])
        self.assertEqual(out, "".join(
            turn["assistant"].strip() + "\n" for turn in talk["turns"]))

    def test_earlier_prompt_is_not_computed_again(self):
        _, err = self.chat(["Un.", "Deux.", "Trois."], "--verbose")
        counts = [tuple(map(int, found)) for found in re.findall(
            r"prompt (\d+) tokens \((\d+) cached\), generated (\d+)", err)]
        self.assertEqual(len(counts), 3)
        for (prompt, _, generated), (_, cached, _) in zip(counts, counts[1:]):
            # More is cached if the server tokenizes the answer as the model
            # has generated it.
            self.assertGreaterEqual(cached, prompt)
            self.assertLess(cached, prompt + generated)

    def test_conversation_continues_from_its_file(self):
        path = os.path.join(self.folder, "talk.json")
        whole, _ = self.chat(["One.", "Two.", f"/save {path}", "Three."])
        rest, _ = self.chat(["Three."], f"--load={path}")
        self.assertTrue(whole.endswith("\n" + rest), whole)
        again, _ = self.chat([f"/load {path}", "Three."])
        self.assertEqual(again, rest)

    def test_conversation_continues_from_a_state_on_another_server(self):
        path = os.path.join(self.folder, "talk.state")
        whole, _ = self.chat(["One.", "Two.", f"/save-state {path}", "Three.",
                              "Four."], "--temperature=0")
        here = self.server
        with rwkvd() as elsewhere:
            self.server = elsewhere
            self.addCleanup(setattr, self, "server", here)
            rest, err = self.chat([f"/load-state {path}", "Three.", "Four."],
                                  "--temperature=0", "--verbose")
        self.assertTrue(whole.endswith("\n" + rest), (whole, rest))
        # The earlier conversation is not computed again.
        alone = int(re.search(r"prompt (\d+) tokens", err)[1])
        self.assertLess(alone, 25)

    def test_file_that_is_not_a_state_is_refused(self):
        path = os.path.join(self.folder, "talk.json")
        self.chat(["One.", f"/save {path}"])
        _, err = self.chat([f"/load-state {path}"], code=1)
        self.assertIn("INVALID_ARGUMENT", err)

    def test_commands_change_the_conversation(self):
        first = os.path.join(self.folder, "1.json")
        last = os.path.join(self.folder, "2.json")
        self.chat(["One.", "Two.", "/undo", f"/save {first}", "/retry",
                   "/reset", "/system Sing.", "//slash", f"/save {last}"])
        self.assertEqual(
            [turn["user"] for turn in self.saved(first)["turns"]], ["One."])
        talk = self.saved(last)
        self.assertEqual(talk["system"], "Sing.")
        self.assertEqual([turn["user"] for turn in talk["turns"]], ["/slash"])

    def test_history_shows_the_conversation(self):
        out, _ = self.chat(["One.", "/history"], "--template=raven")
        answer = out.splitlines()[0]
        self.assertIn(f"Bob: One.\n\nAlice: {answer}", out)

    def test_prefilled_thinking_is_shown(self):
        out, _ = self.chat(["One."], "--thinking=off")
        self.assertTrue(out.startswith("<think>\n</think"), out)

    def test_template_of_the_server_is_the_default(self):
        path = os.path.join(self.folder, "talk.json")
        here = self.server
        with rwkvd("--chat_template=raven") as other:
            self.server = other
            self.addCleanup(setattr, self, "server", here)
            out, _ = self.chat(["One.", "/history", f"/save {path}"])
        self.assertIn("Bob: One.\n\nAlice: ", out)
        self.assertEqual(self.saved(path)["template"], "raven")

    def test_unknown_template_is_refused_by_the_server(self):
        for flag in ("--template=sonnet", "--thinking=off_short"):
            _, err = self.chat(["not said"], flag, code=1)
            self.assertIn("INVALID_ARGUMENT: conversation.", err)
            self.assertEqual(err.count("\n"), 1)

    def test_json_shows_what_the_server_sends(self):
        out, _ = self.chat(["One.", "Two."], "--json")
        events = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(sum("finish" in event for event in events), 2)

    def test_errors_end_a_conversation_without_a_terminal(self):
        for line, word in (("/sing", "unknown command /sing"),
                           ("/save", "/save needs an argument: FILE"),
                           ("/undo", "the conversation is empty"),
                           ("/save-state x", "the conversation is empty"),
                           ("/load /nowhere/talk.json", "/nowhere/talk.json")):
            _, err = self.chat([line, "not said"], code=1)
            self.assertIn(word, err)
            self.assertEqual(err.count("\n"), 1)

    def test_terminal_prompts_answers_and_ends(self):
        terminal = Terminal(self.server.address, "--max_tokens=12", "--seed=1")
        terminal.wait_for(r"demo \(rwkv4\).*/help[^\n]*\r\n> ")
        terminal.type(b"Hello.\r")
        said = terminal.wait_for(r"Hello\.\r\n(.|\n)+\r\n> ")
        alone, _ = self.chat(["Hello."])
        self.assertIn(alone.strip(), said.replace("\r\n", "\n"))
        terminal.type(b"/sing\r")
        terminal.wait_for(r"unknown command /sing; see /help\r\n> ")
        terminal.type(b'"""\r')
        terminal.wait_for(r"\.\.\. ")
        terminal.type(b'one\rtwo\r"""\r')
        terminal.wait_for(r"\r\n> ")
        terminal.type(b"/help\r")
        terminal.wait_for(r"/exit [^>]*> ")
        terminal.type(CTRL_D)
        self.assertEqual(terminal.end(), 0)

    def test_ctrl_c_ends_the_answer_then_the_conversation(self):
        with tempfile.TemporaryDirectory() as folder, \
                rwkvd(model=write_endless_model(folder)) as server:
            terminal = Terminal(server.address, "--max_tokens=1000000")
            terminal.wait_for("> ")
            terminal.type(b"Go on.\r")
            terminal.wait_for(r"(?s)Go on\.\r\n.{10}")
            terminal.type(CTRL_C)
            terminal.wait_for(r"\n> $")
            # The server's slot is free, and the conversation continues.
            terminal.type(b"More.\r")
            terminal.wait_for(r"(?s)More\.\r\n.{10}")
            terminal.type(CTRL_C)
            terminal.wait_for(r"\n> $")
            terminal.type(CTRL_C)
            self.assertEqual(terminal.end(), 130)

    def test_unreachable_server_is_reported_before_the_first_prompt(self):
        result = subprocess.run(
            [RWKVCTL, "chat", f"--server=unix:{self.folder}/absent"],
            input="Hello.\n", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, timeout=PATIENCE, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("no server at unix:", result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1)


if __name__ == "__main__":
    unittest.main()
