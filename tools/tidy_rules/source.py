"""Reads one file the way the rules see it: lines, lines without strings and comments, functions.

Everything here goes by text and indentation. That is enough because `swift format` has settled the
indentation before, and it keeps the rules free of a syntax library that would go stale.
"""

import re

FUNCTION = re.compile(
    r"^\s*(?:@[\w.]+(?:\([^)]*\))?\s+)*"
    r"(?:(?:public|package|internal|private|fileprivate|open|static|class|final|override|mutating"
    r"|nonmutating|borrowing|consuming|convenience|required|nonisolated(?:\(\w+\))?|indirect"
    r"|prefix|postfix|infix|private\(set\)|package\(set\)|lazy|unowned|weak)\s+)*"
    r"(?:(?P<kind>func|init|deinit|subscript)\b[?!]?\s*(?P<name>[^\s(<{]*)"
    r"|var\s+(?P<property>\w+)[^=]*\{\s*$)")
TYPE = re.compile(
    r"(?:^|[\s)])(?:struct|enum|class|actor|protocol|typealias|associatedtype|macro)"
    r"\s+(?P<name>[A-Z]\w*)")


def masked(text):
    """The text with every character of a string or comment blanked, line breaks kept."""
    out = []
    index, end = 0, len(text)

    def blank(upto):
        nonlocal index
        out.append(re.sub(r"[^\n]", " ", text[index:upto]))
        index = upto

    while index < end:
        if text.startswith("//", index):
            stop = text.find("\n", index)
            blank(end if stop < 0 else stop)
        elif text.startswith("/*", index):
            blank(end_of_block_comment(text, index))
        elif match := re.compile(r'(#*)("""|")').match(text, index):
            blank(end_of_string(text, match))
        else:
            out.append(text[index])
            index += 1
    return "".join(out)


def end_of_block_comment(text, index):
    """Block comments nest in Swift."""
    depth = 0
    for match in re.compile(r"/\*|\*/").finditer(text, index):
        depth += 1 if match.group() == "/*" else -1
        if depth == 0:
            return match.end()
    return len(text)


def end_of_string(text, opening):
    hashes, quotes = opening.groups()
    closing, escape = quotes + hashes, "\\" + hashes
    index = opening.end()
    while index < len(text):
        if text.startswith(escape + "(", index):
            index = end_of_interpolation(text, index + len(escape))
        elif text.startswith(escape, index):
            index += len(escape) + 1
        elif text.startswith(closing, index):
            return index + len(closing)
        elif quotes == '"' and text[index] == "\n":
            return index
        else:
            index += 1
    return len(text)


def end_of_interpolation(text, index):
    """The position behind the parenthesis that closes the one at `index`."""
    depth = 0
    while index < len(text):
        if match := re.compile(r'(#*)("""|")').match(text, index):
            index = end_of_string(text, match)
            continue
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        index += 1
        if depth == 0:
            break
    return index


def indentation(line):
    return len(line) - len(line.lstrip())


class Source:
    """One file: its path from the top of the repository, and its text in both readings."""

    def __init__(self, path, text):
        self.path = path
        self.text = text
        self.lines = text.split("\n")
        if self.lines and self.lines[-1] == "":
            self.lines.pop()
        self.is_swift = path.endswith(".swift")
        self.code = masked(text).split("\n")[:len(self.lines)] if self.is_swift else self.lines

    @property
    def folder(self):
        """The first two parts of the path: Sources/LogFormat, tools/millrace."""
        return "/".join(self.path.split("/")[:2])

    @property
    def stem(self):
        return self.path.rsplit("/", 1)[-1].split(".")[0]

    def functions(self):
        """(first line, number of lines, name) of everything that has a body of its own."""
        for first, line in enumerate(self.code):
            match = FUNCTION.match(line)
            if match:
                length = self.length_of_body(first)
                if length:
                    yield first, length, match["name"] or match["property"] or match["kind"]

    def length_of_body(self, first):
        """Lines up to the brace that stands under the declaration; None if there is none."""
        depth = indentation(self.code[first])
        for index in range(first + 1, len(self.code)):
            line = self.code[index]
            bare = line.strip()
            if not bare or bare.startswith("#") or indentation(line) > depth:
                continue
            if indentation(line) == depth and bare.startswith("}"):
                return index - first + 1
            if indentation(line) == depth and re.match(r"\)|where\b|->|throws\b|\{", bare):
                continue
            return None
        return None
