"""What the rules compare with: the import table, the words, the exceptions and their reasons."""

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 100
# How far above its expression a SAFETY comment may stand.
SAFETY_LINES_MAX = 16

# Path: reason. A file is listed here only if splitting it would make it harder to read.
LONG_FILES = {
    "tools/reader.py": "a reader that somebody takes along with the specification: one file",
}
# "path:function": reason.
LONG_FUNCTIONS = {
    "Tests/MillraceTests/ReadmeExample.swift:readmeExample": "the README's example, in one piece",
}

WORDS = {"EventModel"}
MECHANISMS = WORDS | {"LogFormat", "BlockCompression", "StorageIO"}
ENGINE = MECHANISMS | {"CommitLog", "ConsumerCheckpoints", "DeviceQueueing"}
# Parts of the toolchain that any module may use.
STANDARD = {"Synchronization"}
# Threads and system calls: the modules that own them.
SYSTEM = {"Glibc", "Musl"}

# Strictly downward; siblings never import one another. ARCHITECTURE.md explains the layers.
IMPORTS = {
    "Sources/EventModel": set(),
    "Sources/LogFormat": WORDS | {"CSystemShims"},
    "Sources/BlockCompression": WORDS | {"CLZ4", "CZstd"},
    "Sources/StorageIO": WORDS | SYSTEM | {"CSystemShims", "SystemPackage"},
    "Sources/CommitLog": MECHANISMS | {"CSystemShims", "SystemPackage"},
    "Sources/ConsumerCheckpoints": MECHANISMS | {"SystemPackage"},
    "Sources/DeviceQueueing": MECHANISMS | {"SystemPackage"},
    # The shims for a prefetch alone: no Swift says it.
    "Sources/Millrace": ENGINE | SYSTEM | {
        "CSystemShims", "SystemPackage", "Logging", "Metrics",
    },
    "Sources/MillraceTesting": {"Millrace", "EventModel", "StorageIO", "SystemPackage"},
    # A check blocks its threads for as long as it takes: what tasks must not do.
    "Sources/LogInspection": MECHANISMS | {"SystemPackage", "Dispatch"},
    "Sources/SimulationKit": ENGINE | {"SystemPackage"},
    "Sources/QueueSimulation": {
        "Millrace", "SimulationKit", "EventModel", "StorageIO", "SystemPackage", "Logging",
    },
    "tools/millrace": WORDS | SYSTEM | {
        "CommandSupport", "Millrace", "MillraceTesting", "LogInspection", "LogFormat",
        "BlockCompression", "StorageIO", "CZstd", "CZlib", "SystemPackage", "ArgumentParser",
        "Logging", "Foundation",
    },
    "tools/fleet": WORDS | SYSTEM | {
        "CommandSupport", "Millrace", "MillraceTesting", "SystemPackage", "ArgumentParser",
        "Foundation",
    },
    "tools/campaign": SYSTEM | {
        "SimulationKit", "QueueSimulation", "ArgumentParser", "Foundation",
    },
    "tools/fuzz": WORDS | {
        "LogFormat", "BlockCompression", "StorageIO", "CommitLog", "LogInspection",
        "SimulationKit", "FuzzHarness", "CFuzzDriver", "SystemPackage", "Foundation",
    },
}

# Words that say nothing, or that mean something else than the project's word for the thing.
BANNED_WORDS = {
    "Manager": "say what it does",
    "Helper": "say what it does",
    "Util": "say what it does",
    "Utils": "say what it does",
    "Utility": "say what it does",
    "Utilities": "say what it does",
    "Base": "say what it is",
    "Impl": "say what it is",
    "Info": "say what it holds",
    "Chunk": "the word is batch",
    "Packet": "the word is event or frame",
    "Row": "the word is record",
    "Extent": "the word is segment",
    "Rotation": "the word is roll",
    "Lease": "reserved for the ownership of partitions; the word is lock",
    "Receipt": "the word is feedback",
}
BANNED_FUNCTIONS = {"process", "handle"}

# (pattern in code without strings and comments, what to do instead), by the folders it holds in.
BANNED_CALLS = {
    "Sources": [
        (r"\btry\?", "'try?' swallows an error; handle it or pass it on"),
        (r"\btry!", "'try!' traps when the world fails; throw"),
        (r"(?<![.\w])(?:debugPrint|print|dump)\(", "a library prints nothing; return or log it"),
        (r"\bimport\s+Foundation\w*", "no Foundation under Sources"),
        (r"\bfatalError\b", "use 'precondition' for misuse and an error for everything else"),
        (r"\bassertionFailure\b", "use 'preconditionFailure' or an error"),
    ],
    "tools": [
        (r"\btry!", "'try!' traps when the world fails; throw"),
        (r"\bfatalError\b", "use 'precondition' for misuse and an error for everything else"),
    ],
    "Tests": [
        (r"(?<![.\w])u?sleep\(|\bTask\.sleep\b|\bThread\.sleep\b",
         "a test waits for an event, never for the clock"),
    ],
}
