import json
import os
import time
from contextlib import suppress

import pytest

from tdd_deploy import documents
from tdd_deploy.documents import DEEPEST, MOST_DOTS, read_json, read_toml
from tdd_deploy.errors import BadFile
from tdd_deploy.files import write_json


def nested(n):
    return b"[" * n + b"]" * n


@pytest.mark.parametrize("read", [read_json, read_toml])
def test_what_is_no_regular_file_is_refused_at_once(read, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    for name, words in [
        ("none", "is missing"),
        ("folder/none", "is missing"),
        ("link", "is missing"),
        ("folder", "is a folder"),
        ("pipe", "is a pipe or a device"),
        ("/dev/zero", "is a pipe or a device"),
        ("a" * 300, "cannot be read"),
        ("a\0b", "cannot be read"),
    ]:
        with pytest.raises(BadFile, match=rf" {words}.*\. Simulate again\.$"):
            read(tmp_path / name, "simulate again")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b'{"a": 1,}', "is not JSON"),
        (b'"\xff"', r"is not a text file in UTF-8 \(byte 1\)"),
        (b"NaN", "holds a number that is not finite"),
        (b"[-Infinity]", "holds a number that is not finite"),
        (b'{"a": [1e999]}', "holds a number that is not finite"),
        (b"9223372036854775808", "holds a whole number of more than 64 bits"),
        (b"[-9223372036854775809]", "holds a whole number of more than 64 bits"),
        (b"1" * 5000, "holds a whole number of more than 64 bits"),  # int() refuses this many digits
        (nested(DEEPEST + 1), f"holds tables or lists that are nested more than {DEEPEST} times"),
        (nested(10**5), f"holds tables or lists that are nested more than {DEEPEST} times"),
        (b'{"a": "\\ud800"}', "holds half a character"),
        (b'{"\\udfff": 1}', "holds half a character"),
        (b'["a\\u0000"]', "holds a text with a zero byte"),
        (b'{"a": 1, "b": {"c": 2, "c": 3}}', 'holds the key "c" twice'),
    ],
)
def test_what_would_fail_in_a_reader_of_json_is_refused(content, words, tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=rf"a\.json {words}.*\. Simulate again\.$"):
        read_json(path, "simulate again")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a = = 1", "is not TOML"),
        (b"a = 1\na = 2", "is not TOML"),
        (b"a = '\xff'", r"is not a text file in UTF-8 \(byte 5\)"),
        (b"a = 0xffffffffffffffff", "holds a whole number of more than 64 bits"),
        (b"a = " + b"1" * 5000, "holds a whole number of more than 64 bits"),
        (b"a = " + nested(DEEPEST), f"holds tables or lists that are nested more than {DEEPEST} times"),
        (b"a = " + nested(10**4), f"holds tables or lists that are nested more than {DEEPEST} times"),
        (b'a = "\\u0000"', "holds a text with a zero byte"),
    ],
)
def test_what_would_fail_in_a_reader_of_toml_is_refused(content, words, tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=rf"a\.toml {words}.*\. Name another\.$"):
        read_toml(path, "name another")


DOTTED = ".".join("a" * (MOST_DOTS + 2))


@pytest.mark.parametrize(
    "text",
    [
        f"{DOTTED} = 1",
        f"[{DOTTED}]",
        f"[[{DOTTED}]]",
        f"b = {{ {DOTTED} = 1 }}",
        DOTTED.replace(".", " . ") + " = 1",
        DOTTED.replace("a", "'a, b'") + " = 1",
        DOTTED.replace("a", r'"\"b"') + " = 1",
        f"b = {{ c = '''x'''', {DOTTED} = 1 }}",
        f'b = {{ c = """x"""", {DOTTED} = 1 }}',
        f"b = {{ c = 'it''s', {DOTTED} = 1 }}",
        f"# it's\n{DOTTED} = 1",
    ],
)
def test_a_key_with_so_many_dots_that_reading_it_takes_long_is_refused(text, tmp_path):
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(BadFile, match=f"holds a key of more than {MOST_DOTS} dots"):
        read_toml(path, "name another")


def test_dots_elsewhere_are_fine(tmp_path):
    dots = "." * 10 * MOST_DOTS
    numbers = ", ".join(["0.5"] * 10 * MOST_DOTS)
    text = f'a = \'{dots}\' # {dots}\nb = """\n{dots}\\"\n"""\nc = [{numbers}]\n[{".".join("d" * (MOST_DOTS + 1))}]\n'
    path = tmp_path / "a.toml"
    path.write_text(text)
    found = read_toml(path, "")
    assert (found["a"], found["b"], len(found["c"])) == (dots, f'{dots}"\n', 10 * MOST_DOTS)


@pytest.mark.parametrize(
    "text",
    [
        '"' + '\\"' * 100_000,
        "'" * 200_001,
        '"""' + '""' * 100_000,
        "#" * 200_000,
        "a.b.c = 1\n" * 25_000,
        "[[a]]\n" * 40_000,
    ],
)
def test_a_text_of_the_largest_size_is_answered_soon(text, tmp_path):
    path = tmp_path / "a.toml"
    path.write_text(text)
    begin = time.process_time()
    with suppress(BadFile):
        read_toml(path, "name another")
    assert time.process_time() - begin < 2


def test_a_file_above_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "MOST_TOML", 2048)
    path = tmp_path / "a"
    path.write_text("1" + " " * 2048)
    with pytest.raises(BadFile, match="holds more than 2 KiB"):
        read_toml(path, "name another")
    with pytest.raises(BadFile, match="holds more than 2 KiB"):
        read_json(path, "name another", most=2048)
    assert read_json(path, "name another", most=2049) == 1


def test_what_is_written_as_json_is_read_back(tmp_path):
    write_json(tmp_path / "a.json", {"µ": [1, None, 0.5], "😀": 2**63 - 1})
    assert read_json(tmp_path / "a.json", "") == {"µ": [1, None, 0.5], "😀": 2**63 - 1}
    (tmp_path / "b.json").write_text(json.dumps({"😀": json.loads("[" * 31 + "]" * 31)}))  # as escapes
    assert "😀" in read_json(tmp_path / "b.json", "")


def test_a_mark_of_the_byte_order_is_dropped(tmp_path):
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbf[a]\nb = 1\n")
    assert read_toml(tmp_path / "a", "") == {"a": {"b": 1}}
