"""Small good and bad snippets for every rule: `tools/tidy --self-test`."""

from tidy_rules import rules, tables
from tidy_rules.source import Source

ENGINE = "Sources/CommitLog/Thing.swift"
LONG_BODY = "  x += 1\n" * 70

# (rule, path, good text, bad text)
CASES = [
    ("file_length", ENGINE, "a\n" * 400, "a\n" * 401),
    ("function_length", ENGINE,
     "func f(\n  a: Int\n) -> Int {\n" + "  x += 1\n" * 66 + "}\n",
     "  func f() {\n" + LONG_BODY.replace("  x", "    x") + "  }\n"),
    ("function_length", ENGINE,
     "protocol P {\n  func f()\n  func g() -> Int\n}\n" + LONG_BODY,
     "deinit {\n" + LONG_BODY + "}\n"),
    ("function_length", ENGINE,
     "func f() { x }\n" + LONG_BODY, "var size: Int {\n" + LONG_BODY + "}\n"),
    ("columns", ENGINE, "/" * 100 + "\n", "/" * 101 + "\n"),
    ("columns", ENGINE, "é" * 100 + "\n", "é" * 101 + "\n"),
    ("imports", ENGINE, "package import LogFormat\n", "import ConsumerCheckpoints\n"),
    ("imports", ENGINE, "import Synchronization\n", "internal import CLZ4\n"),
    ("imports", "Sources/LogFormat/A.swift", "import EventModel\n", "import struct StorageIO.A\n"),
    ("imports", "Sources/EventModel/A.swift", "// import LogFormat\n", "import LogFormat\n"),
    ("imports", "tools/millrace/A.swift", "import ArgumentParser\n", "import Unheard\n"),
    ("banned_calls", ENGINE, "let a = try f()  // not try?\n", "let a = try? f()\n"),
    ("banned_calls", ENGINE, 'let a = "try!"\n', "let a = try! f()\n"),
    ("banned_calls", ENGINE, "output.print(a)\n", "  print(a)\n"),
    ("banned_calls", ENGINE, 'let a = """\n  print(a)\n  """\n', "debugPrint(a)\n"),
    ("banned_calls", ENGINE, "preconditionFailure()\n", "fatalError()\n"),
    ("banned_calls", ENGINE, "/* import Foundation */\n", "import FoundationEssentials\n"),
    ("banned_calls", "tools/millrace/A.swift", "print(a)\n", "try! f()\n"),
    ("banned_calls", "Tests/A/A.swift", "print(a)\n", "try await Task.sleep(for: .seconds(1))\n"),
    ("to_do", ENGINE, "// TO" + "DO(#12): more\n", "// TO" + "DO: more\n"),
    ("to_do", ENGINE, "// To do this, do that.\n", "// FIX" + "ME\n"),
    ("words", ENGINE, "struct DatabaseName {}\n", "struct SegmentManager {}\n"),
    ("words", ENGINE, "struct Information {}\n", "package enum IOInfo: Error {}\n"),
    ("words", ENGINE, "func handleIsOpen() {}\n", "  func handle(_ a: Int) {}\n"),
    ("words", ENGINE, "let chunk = 1\n", "final class ChunkReader {}\n"),
    ("words", "Sources/CommitLog/Basement.swift", "struct A {}\n", None),
    ("words", "Sources/CommitLog/StringUtil.swift", None, "struct A {}\n"),
    ("safety", ENGINE,
     "func f() {\n  // SAFETY: the caller keeps it.\n  unsafe g()\n}\n",
     "func f() {\n  unsafe g()\n}\n"),
    ("safety", ENGINE,
     "// SAFETY: the bytes are ours.\nprivate func f() {\n  unsafe g()\n}\n",
     "func e() {\n  // SAFETY: fine.\n  unsafe g()\n}\n\nfunc f() {\n  unsafe g()\n}\n"),
    ("safety", ENGINE,
     "a.unsafeLoad()  // says unsafe\n", "nonisolated(unsafe) var a = 1\n"),
    ("safety", ENGINE,
     "// SAFETY, for every call below: a.\nfunc f() {\n  unsafe g()\n}\n",
     "func f() {\n  unsafe g()\n}\n// SAFETY, for every call below: a.\n"),
    ("safety", ENGINE, "if unsafe a.b == nil {}\n", "if unsafe a.b == c {}\n"),
    ("safety", "Tests/A/A.swift", "unsafe g()\n", None),
    ("placeholder", ENGINE, "struct A {}\n", None),
    ("placeholder", "Sources/CommitLog/Placeholder.swift", None, "struct A {}\n"),
    ("absolute_paths", "README.md", "see docs/work/a\n", "see /wo" + "rk/main/a\n"),
    ("absolute_paths", ENGINE, '"/tmp/store"\n', '"/tmp/w' + 't/a/b"\n'),
    ("final_newline", ENGINE, "a\n", "a"),
]

# (specification, code, the complaints)
SECTION_CASES = [
    ("## 1. One\n### 1.1 Two\n", "// format-spec §1.1.\n", []),
    ("## 1 One\n### 1.1 Two\n", "// format-spec §1\n", []),
    ("## 1 One\n### 1.1 Two\n### 1.2 Three\n", "// §1.2\n", ["no code cites §1.1"]),
    ("## 1. One\n", "// format-spec §1, §2.3\n", ["format-spec.md has no §2.3"]),
]


def complaints(rule, path, text):
    return [message for _, name, message in rules.check(Source(path, text)) if name == rule]


def run():
    failures = []
    covered = set()
    for rule, path, good, bad in CASES:
        covered.add(rule)
        if good is not None and (found := complaints(rule, path, good)):
            failures.append(f"{rule} objects to good text: {good!r}: {found}")
        if bad is not None and not complaints(rule, path, bad):
            failures.append(f"{rule} overlooks bad text: {bad!r}")
    for specification, code, expected in SECTION_CASES:
        found = [
            message for _, _, _, message in rules.sections(
                Source("format-spec.md", specification), [Source(ENGINE, code)])]
        if found != expected:
            failures.append(f"sections: {found} instead of {expected}")
    for rule in rules.CODE_RULES + rules.TEXT_RULES:
        if rule.__name__ not in covered:
            failures.append(f"{rule.__name__} has no case")
    for folder, allowed in tables.IMPORTS.items():
        if folder.split("/")[-1] in allowed:
            failures.append(f"{folder} may import itself")
    for failure in failures:
        print(f"error: {failure}")
    print(f"summary: {len(CASES) + len(SECTION_CASES)} cases, {len(failures)} failures")
    return 1 if failures else 0
