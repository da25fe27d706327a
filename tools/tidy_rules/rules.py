"""The rules. Each takes a `Source` and yields (line number, message)."""

import re

from tidy_rules import tables
from tidy_rules.source import FUNCTION, TYPE

CODE = ("Sources/", "Tests/", "Benchmarks/", "tools/")
# Put together here so that this file does not break its own rule.
ABSOLUTE = re.compile(r"(?<![\w./])/" + r"(?:work|root|home/\w+|tmp/wt)/")
TO_DO = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X{3})\b(?!\s*\(?#\d+)")
IMPORT = re.compile(
    r"^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:public|package|internal|private|fileprivate)\s+)?"
    r"import\s+(?:(?:struct|class|enum|protocol|func|var|let|typealias)\s+)?(?P<module>\w+)")
SECTION = re.compile(r"§\s*(\d+(?:\.\d+)*)")
HEADING = re.compile(r"^#{2,6}\s+§?(\d+(?:\.\d+)*)\.?\s")


def file_length(source):
    if len(source.lines) > tables.FILE_LINES_MAX and source.path not in tables.LONG_FILES:
        yield 1, f"{len(source.lines)} lines, at most {tables.FILE_LINES_MAX}: split the file"


def function_length(source):
    if not source.is_swift:
        return
    for first, length, name in source.functions():
        is_listed = f"{source.path}:{name}" in tables.LONG_FUNCTIONS
        if length > tables.FUNCTION_LINES_MAX and not is_listed:
            yield (first + 1,
                   f"'{name}' has {length} lines, at most {tables.FUNCTION_LINES_MAX}: split it")


def columns(source):
    for number, line in enumerate(source.lines, 1):
        if len(line) > tables.COLUMNS_MAX:
            yield number, f"{len(line)} columns, at most {tables.COLUMNS_MAX}"


def imports(source):
    if not source.is_swift or not source.path.startswith(("Sources/", "tools/")):
        return
    allowed = tables.IMPORTS.get(source.folder)
    for number, line in enumerate(source.code, 1):
        match = IMPORT.match(line)
        if not match:
            continue
        if allowed is None:
            yield number, f"'{source.folder}' is not in the import table of tools/tidy_rules"
            return
        if match["module"] not in allowed | tables.STANDARD:
            yield number, f"{source.folder} may not import '{match['module']}'"


def banned_calls(source):
    if not source.is_swift:
        return
    for pattern, advice in tables.BANNED_CALLS.get(source.path.split("/")[0], []):
        for number, line in enumerate(source.code, 1):
            if re.search(pattern, line):
                yield number, advice


def to_do(source):
    for number, line in enumerate(source.lines, 1):
        if TO_DO.search(line):
            yield number, "a to-do names its issue: (#12)"


def camel_words(name):
    return re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name)


def words(source):
    if not source.is_swift or source.path.startswith("Tests/"):
        return
    for word in camel_words(source.stem):
        if word in tables.BANNED_WORDS:
            yield 1, f"'{word}' in a file name: {tables.BANNED_WORDS[word]}"
    for number, line in enumerate(source.code, 1):
        for match in TYPE.finditer(line):
            for word in camel_words(match["name"]):
                if word in tables.BANNED_WORDS:
                    yield number, f"'{word}' in '{match['name']}': {tables.BANNED_WORDS[word]}"
        match = FUNCTION.match(line)
        if match and match["name"] in tables.BANNED_FUNCTIONS:
            yield number, f"'{match['name']}' says nothing: name the effect"


def safety(source):
    """Every `unsafe` has a SAFETY comment above it, in its own function.

    A comment that begins with "SAFETY, for every" speaks for all that stands below it.
    """
    if not source.is_swift or not source.path.startswith("Sources/"):
        return
    for index, line in enumerate(source.code):
        if "SAFETY, for every" in source.lines[index]:
            return
        # Asking whether a pointer is nil, or making it nil, touches nothing.
        line = re.sub(r"\bunsafe\s+[\w.]+\s+(?:==|!=|=)\s+nil\b", "", line)
        if re.search(r"(?<![@.\w])unsafe\b", line) and not has_safety_comment(source, index):
            yield index + 1, "'unsafe' without a '// SAFETY:' line that names who guarantees it"


def has_safety_comment(source, index):
    in_function = True
    for above in range(index, max(index - tables.SAFETY_LINES_MAX, 0) - 1, -1):
        line = source.lines[above]
        if "SAFETY:" in line:
            return True
        # Above the declaration, only its own comments and attributes belong to it.
        if not in_function and not line.strip().startswith(("//", "@")):
            return False
        if FUNCTION.match(source.code[above]):
            in_function = False
    return False


def placeholder(source):
    if source.stem == "Placeholder":
        yield 1, "a placeholder file: write the module or drop it"


def absolute_paths(source):
    for number, line in enumerate(source.lines, 1):
        if match := ABSOLUTE.search(line):
            yield number, f"an absolute path of one machine: '{match.group()}'"


def final_newline(source):
    if source.text and not source.text.endswith("\n"):
        yield len(source.lines), "no line break at the end of the file"


CODE_RULES = [
    file_length, function_length, columns, imports, banned_calls, to_do, words, safety,
    placeholder, final_newline,
]
TEXT_RULES = [absolute_paths]


def check(source):
    """Every complaint about one file, as (line number, rule, message)."""
    rules = list(TEXT_RULES)
    if source.path.startswith(CODE) or source.path == "Package.swift":
        rules += CODE_RULES
    for rule in rules:
        for number, message in rule(source):
            yield number, rule.__name__, message


def sections(specification, sources):
    """What is cited exists, and what exists is cited.

    A section speaks for its own subsections, and a subsection for the section it is part of.

    Yields (path, line number, rule, message).
    """
    headings = {}
    for number, line in enumerate(specification.lines, 1):
        if match := HEADING.match(line):
            headings[match[1]] = number
    cited = set()
    for source in sources:
        if not source.path.startswith(("Sources/", "Tests/", "tools/")):
            continue
        if source.path.startswith("tools/tidy"):
            continue
        for number, line in enumerate(source.lines, 1):
            for match in SECTION.finditer(line):
                cited.add(match[1])
                if match[1] not in headings:
                    yield (source.path, number, "sections",
                           f"{specification.path} has no §{match[1]}")
    for heading, number in headings.items():
        covered = any(
            c == heading or c.startswith(heading + ".") or heading.startswith(c + ".")
            for c in cited)
        if not covered:
            yield specification.path, number, "sections", f"no code cites §{heading}"
