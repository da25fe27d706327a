#!/usr/bin/env python3
"""Prints the events of a Millrace store or segment as JSON, one a line.

Written from format-spec.md alone, as a second implementation: a test compares its output with the
command's. Needs Python 3 and nothing else; zstd batches need libzstd.so.1, content checksums need
libxxhash.so.0 (without it they are left out, which is said on stderr).

usage: reader.py PATH [--partition N]...
       reader.py --queues PATH
       reader.py --verdict FILE...

PATH is a store's folder or a segment file. With --queues it is a store's folder or a queue file:
the messages that wait, one a line (format-spec §14); in a store the journal is applied to the queue
files, and their directory is compared with them. With --verdict: what of each file with frames
stands (format-spec §5.2), one JSON object a line. Gaps and damage are stated on stderr. Exit
status: 0 success, 1 the file cannot be read or uses features this program does not know, 2 a gap or
damage was met.
"""

import base64
import ctypes
import ctypes.util
import heapq
import itertools
import json
import os
import struct
import sys
from dataclasses import dataclass, field

MASK64 = (1 << 64) - 1
NUMBER_MAX = (1 << 63) - 1
FILE_HEADER_SIZE = 128
FRAME_HEADER_SIZE = 64
BATCH, MARK, EPOCH, MANIFEST_EDITS, CHECKPOINT_ENTRIES = 1, 2, 3, 5, 6
JOURNAL = 3  # the stream
JOURNAL_SEGMENT, QUEUE_FILE, QUEUE_DIRECTORY = 4, 5, 8  # kinds of files


class Damaged(Exception):
    """The bytes are not what was written."""


class Unsupported(Exception):
    """The bytes are sound and from a later program."""


# --- §1 conventions -------------------------------------------------------------------------


class Cursor:
    """Reads a structure from bytes whose checksum holds, within their bounds."""

    def __init__(self, data, position=0):
        self.data = data
        self.position = position

    @property
    def remaining(self):
        return len(self.data) - self.position

    def take(self, count):
        if count < 0 or count > self.remaining:
            raise Damaged(f"{count} bytes needed at {self.position}, {self.remaining} left")
        start = self.position
        self.position += count
        return self.data[start : self.position]

    def unpack(self, layout):
        values = struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))
        return values[0] if len(values) == 1 else values

    def varint(self, maximum=MASK64):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            if shift > 63:
                raise Damaged("a varint of more than ten bytes")
            value |= (byte & 0x7F) << shift
            if value > MASK64:
                raise Damaged("a varint of more than 64 bits")
            if byte < 0x80:
                break
            shift += 7
        if value > maximum:
            raise Damaged(f"a count of {value}, at most {maximum} expected")
        return value

    def text(self):
        return decode_text(self.take(self.varint(self.remaining)))

    def end(self):
        if self.remaining:
            raise Damaged(f"{self.remaining} bytes too many")


def decode_text(data):
    try:
        return bytes(data).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Damaged("a text is not UTF-8") from error


# --- §3.2 CRC32C, §3.3 content checksum -------------------------------------------------------


def make_crc_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


CRC_TABLE = make_crc_table()


def crc32c(data, seed=0):
    table = CRC_TABLE
    crc = seed ^ 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def load_library(name, version):
    for candidate in (f"lib{name}.so.{version}", ctypes.util.find_library(name)):
        if candidate:
            try:
                return ctypes.CDLL(candidate)
            except OSError:
                continue
    return None


XXHASH = load_library("xxhash", 0)
if XXHASH is not None:
    XXHASH.XXH3_64bits_withSeed.restype = ctypes.c_uint64
    XXHASH.XXH3_64bits_withSeed.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]


def content_checksum(parts):
    """None where there is no XXH3."""
    if XXHASH is None:
        return None
    state = 0
    for part in parts:
        state = XXHASH.XXH3_64bits_withSeed(bytes(part), len(part), state)
    return state & 0xFFFFFFFF


# --- §4 codecs ----------------------------------------------------------------------------------

ZSTD = load_library("zstd", 1)
if ZSTD is not None:
    ZSTD.ZSTD_decompress.restype = ctypes.c_size_t
    ZSTD.ZSTD_decompress.argtypes = [
        ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t,
    ]


def decompress(codec, stored, size):
    if len(stored) == size:
        return stored
    if len(stored) > size or codec == 0:
        raise Damaged(f"a block of {len(stored)} bytes stored for {size}")
    block = decompress_lz4(stored, size) if codec == 1 else decompress_zstd(stored, size)
    if len(block) != size:
        raise Damaged(f"a block decompresses to {len(block)} bytes, expected {size}")
    return block


def decompress_zstd(stored, size):
    if ZSTD is None:
        raise Unsupported("zstd batches need libzstd.so.1")
    room = ctypes.create_string_buffer(max(size, 1))
    count = ZSTD.ZSTD_decompress(room, size, bytes(stored), len(stored))
    if count > size:
        raise Damaged("a zstd block cannot be decompressed")
    return room.raw[:count]


def decompress_lz4(stored, size):
    """The raw LZ4 block format: sequences of literals and a match, the last one without a match."""
    out = bytearray()
    cursor = Cursor(stored)

    def length(nibble):
        total = nibble
        if nibble == 15:
            while True:
                byte = cursor.take(1)[0]
                total += byte
                if byte != 255:
                    break
        return total

    while True:
        token = cursor.take(1)[0]
        out += cursor.take(length(token >> 4))
        if len(out) > size:
            raise Damaged("an LZ4 block holds too much")
        if not cursor.remaining:
            return bytes(out)
        distance = cursor.unpack("H")
        count = length(token & 15) + 4
        start = len(out) - distance
        if distance == 0 or start < 0 or len(out) + count > size:
            raise Damaged("an LZ4 block refers beyond its bounds")
        if distance >= count:
            out += out[start : start + count]
        else:
            pattern = bytes(out[start:])
            out += (pattern * (count // distance + 1))[:count]


# --- §2 file header -----------------------------------------------------------------------------

MAGIC = bytes.fromhex("8d4d4c520d0a1a0a")


@dataclass
class FileHeader:
    raw: bytes

    def __post_init__(self):
        (self.kind,) = self.raw[10:11]
        self.store_id = self.raw[24:40]
        (self.file_id, self.salt, self.stream, self.partition, self.base_number,
         self.created, self.predecessor_id, self.predecessor_chain) = struct.unpack(
            "<QQIIQqQI", self.raw[40:92])
        self.chain = struct.unpack("<I", self.raw[124:128])[0]
        self.base = crc32c(self.raw[24:56])

    def seed(self, position):
        return crc32c(struct.pack("<Q", position), self.base)


def decode_file_header(data, kind):
    raw = bytes(data[:FILE_HEADER_SIZE])
    if len(raw) < FILE_HEADER_SIZE or raw[:8] != MAGIC:
        raise Damaged("the file header is missing")
    if crc32c(raw[:124]) != struct.unpack("<I", raw[124:])[0]:
        raise Damaged("the file header's checksum does not hold")
    version = struct.unpack("<H", raw[8:10])[0]
    if version > 1:
        raise Unsupported(f"format version {version}")
    if version == 0:
        raise Damaged("format version 0")
    incompatible = struct.unpack("<I", raw[12:16])[0]
    header = FileHeader(raw)
    if header.kind not in range(1, 9) or header.stream > 3 or incompatible:
        raise Unsupported("the file header names unknown features")
    if header.kind != kind:
        raise Damaged(f"a file of kind {header.kind}, expected {kind}")
    return header


def segment_header(store_id, added):
    """A segment's file header, made from the edit that added it."""
    kind = 4 if added.stream == JOURNAL else 1
    raw = MAGIC + struct.pack("<HBBIII", 1, kind, 0, 0, 0, 0) + store_id
    raw += struct.pack(
        "<QQIIQqQI", added.segment_id, added.salt, added.stream, added.partition,
        added.base_number, added.created, added.predecessor_id, added.predecessor_chain)
    raw += bytes(32)
    return FileHeader(raw + struct.pack("<I", crc32c(raw)))


# --- §3.1 frame header, §5.1 scanning -----------------------------------------------------------


@dataclass
class Frame:
    position: int
    checksum: int
    type: int
    codec: int
    epoch: int
    count: int
    number: int
    time: int
    watermark: int
    clear_size: int
    stored_size: int
    clear_checksum: int
    body_checksum: int
    content_checksum: int
    chain: int

    @property
    def next_number(self):
        return self.number + self.count

    @property
    def end(self):
        size = FRAME_HEADER_SIZE + self.clear_size + self.stored_size
        return self.position + (size + 63) // 64 * 64

    def is_plausible(self):
        return (self.clear_size <= 16_777_216 and self.stored_size <= 16_777_216
                and self.next_number < 1 << 63 and self.watermark <= self.number)


def decode_frame(data, position, header):
    raw = data[position : position + FRAME_HEADER_SIZE]
    if len(raw) < FRAME_HEADER_SIZE or raw[:4] != b"MRF1":
        return None
    checksum = struct.unpack("<I", raw[4:8])[0]
    if crc32c(raw[:4] + bytes(4) + raw[8:], header.seed(position)) != checksum:
        return None
    frame = Frame(position, checksum, *struct.unpack("<BBHIQqQIIIIII", raw[8:]))
    return frame if frame.is_plausible() else None


def scan(data, header):
    """The frames, the end of data, and whether a codec is unknown."""
    frames = []
    position = end_of_data = FILE_HEADER_SIZE
    unsupported = False
    while position < len(data):
        frame = decode_frame(data, position, header)
        if frame is not None and frame.codec > 2:
            unsupported = True
            frame = None
        if frame is not None:
            frames.append(frame)
            end_of_data = max(end_of_data, min(frame.end, len(data)))
            position = frame.end
        else:
            held = data[position : position + 64].rstrip(b"\0")
            if held:
                end_of_data = max(end_of_data, position + len(held))
            position += 64
    return frames, end_of_data, unsupported


def sections(data, frame):
    start = frame.position + FRAME_HEADER_SIZE
    middle = start + frame.clear_size
    return data[start:middle], data[middle : middle + frame.stored_size]


def is_intact(data, frame, header):
    clear, body = sections(data, frame)
    if len(clear) + len(body) < frame.clear_size + frame.stored_size:
        return False
    seed = header.seed(frame.position)
    return crc32c(clear, seed) == frame.clear_checksum and crc32c(body, seed) == frame.body_checksum


# --- §5.2 the recovery rule ---------------------------------------------------------------------


@dataclass
class Finding:
    kind: str
    position: int
    first: int
    next: int


@dataclass
class Verdict:
    position: int
    chain: int
    next_number: int
    epoch: int
    watermark: int
    kept: list = field(default_factory=list)
    damaged: set = field(default_factory=set)
    findings: list = field(default_factory=list)
    tail: str = "clean"
    cut: range = range(0)


def is_older(one, other):
    return one != other and (other - one) % 65_536 < 32_768


def judge(data, header, evidence=0):
    frames, end_of_data, unsupported = scan(data, header)
    if unsupported:
        raise Unsupported("a frame is compressed with an unknown codec")
    watermark = max([evidence] + [frame.watermark for frame in frames])
    end = Verdict(FILE_HEADER_SIZE, header.chain, header.base_number, 0, watermark)
    undecidable = False
    stopped = len(frames)
    for index, frame in enumerate(frames):
        proven = (frame.next_number <= watermark if frame.count else frame.number < watermark)
        behind = frame.position > end.position
        chained = not behind and frame.chain == end.chain
        finding = None
        if is_older(frame.epoch, end.epoch):  # R1
            continue
        if frame.number < end.next_number:
            if proven:  # R2
                continue
            stopped = index  # R3
            break
        if chained and frame.number == end.next_number:  # R4
            pass
        elif chained and frame.type == EPOCH:  # R5
            finding = Finding("missing", frame.position, end.next_number, frame.number)
        elif not proven and not (behind and frame.watermark == frame.number):  # R6
            stopped = index
            break
        elif not behind and frame.number == end.next_number:  # R7
            finding = Finding("broken chain", frame.position, frame.number, frame.number)
        else:  # R8, R9, R10
            kind = "damaged" if behind else "missing"
            finding = Finding(kind, end.position, end.next_number, frame.number)
        intact = is_intact(data, frame, header)
        if not intact and not proven:  # R11
            undecidable = True
            stopped = index
            break
        if finding:
            end.findings.append(finding)
        if not intact:  # R12
            end.damaged.add(frame.position)
            end.findings.append(
                Finding("damaged", frame.position, frame.number, frame.next_number))
        end.kept.append(frame)
        end.position, end.chain = frame.end, frame.checksum
        end.next_number, end.epoch = frame.next_number, frame.epoch
    name_tail(end, frames[stopped:], end_of_data, undecidable)
    return end


def name_tail(end, rest, end_of_data, undecidable):
    left = [frame for frame in rest
            if not is_older(frame.epoch, end.epoch) and frame.number >= end.next_number]
    if end_of_data > end.position:
        end.cut = range(end.position, end_of_data)
    if end.watermark > end.next_number:  # R13
        end.tail = "lost suffix"
        end.findings.append(
            Finding("lost suffix", end.position, end.next_number, end.watermark))
    elif not end.cut:  # R14
        end.tail = "clean"
    elif undecidable:  # R15
        end.tail = "undecidable"
    else:  # R16, R17
        end.tail = "reordered" if left else "torn"


# --- §6 batches ---------------------------------------------------------------------------------

SYSTEM_PROPERTIES = [
    "moduleId", "messageId", "correlationId", "userId", "contentType", "contentEncoding",
    "creationTime", None, None, None, None, None,
]
PRINTED_PROPERTIES = SYSTEM_PROPERTIES[:7]
BLOCK_SIZE_MAX = 8_388_608


@dataclass
class Event:
    number: int
    time: int
    device: str
    texts: dict
    properties: dict
    body: bytes


def column(cursor, count):
    width = cursor.unpack("B")
    if width > 64:
        raise Damaged(f"a column of width {width}")
    low = cursor.varint()
    field = bytes(cursor.take((width * count + 7) // 8))
    mask = (1 << width) - 1
    values = []
    for bit in range(0, width * count, width) if width else [0] * count:
        piece = int.from_bytes(field[bit // 8 : bit // 8 + 9], "little")
        values.append((low + (piece >> bit % 8 & mask)) & MASK64)
    return values


def device_set(cursor, count):
    devices = []
    previous = b""
    for _ in range(count):
        packed = cursor.unpack("B")
        shared, rest = packed >> 4, packed & 15
        if rest == 0:
            shared, rest = cursor.unpack("BB")
        if rest == 0 or shared > len(previous) or shared + rest > 128:
            raise Damaged("an entry of the device set breaks its bounds")
        previous = previous[:shared] + bytes(cursor.take(rest))
        devices.append(decode_text(previous))
    cursor.end()
    return devices


def property_sets(cursor, record_count):
    set_count = cursor.varint(record_count)
    if set_count == 0:
        return []
    texts = [cursor.text() for _ in range(cursor.varint(cursor.remaining))]
    counts = column(cursor, set_count)
    if min(counts) < 1 or max(counts) > 1_000 or sum(counts) > BLOCK_SIZE_MAX:
        raise Damaged("a property set has no pair, or too many")
    pairs = zip(column(cursor, sum(counts)), column(cursor, sum(counts)))
    sets = []
    size = 0
    for count in counts:
        properties = {}
        for name, value in itertools.islice(pairs, count):
            if name >= len(texts) or value >= len(texts):
                raise Damaged("a property refers beyond the texts")
            if not texts[name] or texts[name] in properties:
                raise Damaged("a property's name is empty or given twice")
            properties[texts[name]] = texts[value]
            size += len(texts[name].encode()) + len(texts[value].encode())
            if size > BLOCK_SIZE_MAX:
                raise Damaged("the property sets exceed their bound")
        sets.append(properties)
    return sets


def system_column(cursor, count):
    encoding = cursor.unpack("B")
    if encoding == 1:
        texts = [cursor.text() for _ in range(cursor.varint(count))]
        numbers = column(cursor, count)
        if any(number > len(texts) for number in numbers):
            raise Damaged("a system property refers beyond its dictionary")
        return [texts[number - 1] if number else None for number in numbers]
    if encoding == 2:
        return [
            decode_text(cursor.take(size - 1)) if size else None
            for size in column(cursor, count)
        ]
    raise Unsupported(f"system properties of encoding {encoding}")


def decode_batch(data, frame):
    clear, body = sections(data, frame)
    cursor = Cursor(clear)
    columns_size, columns_stored, payload_size, device_count, span, _ = cursor.unpack("IIIIQQ")
    payload_stored = len(body) - columns_stored
    if (max(columns_size, payload_size) > BLOCK_SIZE_MAX or payload_stored < 0
            or not 1 <= frame.count <= 65_535 or not 1 <= device_count <= frame.count):
        raise Damaged("the clear section breaks its bounds")
    columns = decompress(frame.codec, body[:columns_stored], columns_size)
    payload = decompress(frame.codec, body[columns_stored:], payload_size)
    found = content_checksum([clear[:4], clear[8:], columns, payload])
    if found is not None and found != frame.content_checksum:
        raise Damaged("the content checksum does not hold")
    return decode_columns(frame, device_set(cursor, device_count), span, columns, payload)


def decode_columns(frame, devices, span, columns, payload):
    cursor = Cursor(columns)
    places = column(cursor, frame.count)
    distances = column(cursor, frame.count)
    sizes = column(cursor, frame.count)
    sets = property_sets(cursor, frame.count)
    numbers = column(cursor, frame.count) if sets else [0] * frame.count
    present = cursor.unpack("H")
    if present >> len(SYSTEM_PROPERTIES):
        raise Unsupported("unknown system properties")
    texts = {
        number: system_column(cursor, frame.count)
        for number in range(len(SYSTEM_PROPERTIES)) if present >> number & 1
    }
    cursor.end()
    if (max(places) >= len(devices) or max(numbers) > len(sets) or sum(sizes) != len(payload)
            or sum(distances) & MASK64 != span):
        raise Damaged("the columns do not fit the batch")
    time = frame.time
    start = 0
    for index in range(frame.count):
        time += distances[index]
        time = (time + (1 << 63)) % (1 << 64) - (1 << 63)
        number = numbers[index]
        yield Event(
            frame.number + index, time, devices[places[index]],
            {key: values[index] for key, values in texts.items() if values[index] is not None},
            sets[number - 1] if number else {}, payload[start : start + sizes[index]])
        start += sizes[index]


# --- §8 manifest, §9 checkpoints ----------------------------------------------------------------


@dataclass
class Segment:
    stream: int
    partition: int
    segment_id: int
    salt: int
    base_number: int
    predecessor_id: int
    predecessor_chain: int
    created: int
    sealed_next: int = 0


def entries(data, header, frame_type, evidence=0):
    """Kind and fields of each entry of the frames of one type."""
    verdict = judge(data, header, evidence)
    for finding in verdict.findings:
        if finding.kind != "broken chain":
            raise Damaged(f"{finding.kind} at {finding.position}")
    for frame in verdict.kept:
        if frame.type != frame_type:
            if frame.type not in (MARK, EPOCH) and frame.type < 128:
                raise Unsupported(f"a frame of type {frame.type}")
            continue
        _, body = sections(data, frame)
        found = content_checksum([body])
        if found is not None and found != frame.content_checksum:
            raise Damaged("the content checksum does not hold")
        cursor = Cursor(body)
        for _ in range(frame.count):
            kind = cursor.unpack("B")
            yield kind, Cursor(cursor.take(cursor.varint(cursor.remaining)))
        cursor.end()


def skip_summary(fields):
    end, next_number = fields.unpack("QQ")
    fields.take(46)
    return next_number


def read_manifest(data):
    header = decode_file_header(data, 2)
    segments, evidence, filed = {}, {}, (0, 0)
    # Of the checkpoint file: salt, end and chain at the last close, and whether that still holds.
    checkpoints_end, is_closed = (0, 0, 0), False
    for kind, fields in entries(data, header, MANIFEST_EDITS):
        if kind == 1:
            _, function = fields.unpack("IB")
            if function != 1:
                raise Unsupported(f"partition function {function}")
        elif kind == 2:
            fields.unpack("BQQQQ")
        elif kind == 3:
            segment = Segment(*fields.unpack("IIQQQQIq"))
            segments[segment.segment_id] = segment
        elif kind == 4:
            segment_id = fields.unpack("Q")
            segments[segment_id].sealed_next = skip_summary(fields)
        elif kind == 5:
            del segments[fields.unpack("Q")]
        elif kind == 6:
            segment_id, *_, watermark, _ = fields.unpack("QQQBQQq")
            evidence[segment_id] = max(evidence.get(segment_id, 0), watermark)
            fields.text()
        elif kind == 7:
            *_, segment_id, _, next_number, _, _, _ = fields.unpack("IIQQQBqq")
            evidence[segment_id] = max(evidence.get(segment_id, 0), next_number)
        elif kind == 8:
            fields.unpack("q")
            is_closed = False
        elif kind == 9:
            fields.unpack("q")
            for _ in range(fields.varint(fields.remaining)):
                fields.unpack("II")
                segment_id = fields.unpack("Q")
                evidence[segment_id] = max(evidence.get(segment_id, 0), skip_summary(fields))
            checkpoints_end, is_closed = fields.unpack("QQI"), True
        elif kind == 10:
            fields.unpack("Q")
        elif kind == 11:
            del segments[fields.unpack("Q")]
            segment = Segment(*fields.unpack("IIQQQQIq"))
            segment.sealed_next = skip_summary(fields)
            segments[segment.segment_id] = segment
        elif kind == 12:
            fields.unpack("BQ")
        elif kind == 13:
            filed = fields.unpack("IQ")
        elif kind < 128:
            raise Unsupported(f"a manifest edit of kind {kind}")
        else:
            fields.take(fields.remaining)
        fields.end()
    # Stable: segments that begin alike stay in the order of their edits.
    ordered = sorted(segments.values(), key=lambda segment: segment.base_number)
    return header, ordered, evidence, filed, (checkpoints_end, is_closed)


def checkpoints_loss(data, checkpoints_end, is_closed):
    """What the checkpoint file has lost, as the manifest tells (§8.10, §9); None for nothing."""
    header = decode_file_header(data, 3)
    kept = judge(data, header).kept
    salt, position, chain = checkpoints_end
    if not kept:
        return "nothing can be read behind the header"
    if position and header.salt != salt:
        return "another file stood here at the last close" if is_closed else None
    if position and not any(f.end == position and f.checksum == chain for f in kept):
        return "the last commits before the last close are missing"
    return None


def read_checkpoints(data):
    """The highest checkpoint of each partition: evidence like a watermark."""
    header = decode_file_header(data, 3)
    highest = {}
    for kind, fields in entries(data, header, CHECKPOINT_ENTRIES):
        if kind in (1, 2):
            fields.text()
            fields.unpack("q")
        elif kind == 3:
            fields.text()
            partition, number, _, _ = fields.unpack("IQQq")
            highest[partition] = max(highest.get(partition, 0), number)
        elif kind == 4:
            fields.text()
            fields.unpack("IQq")
        elif kind < 128:
            raise Unsupported(f"a checkpoint entry of kind {kind}")
    return highest


# --- §14 queues -------------------------------------------------------------------------------


@dataclass
class Message:
    """A message that waits."""

    number: int
    expiry: int
    feedback: int
    delivery_count: int
    event: Event = None
    body: bytes = b""

    def facts(self):
        return self.number, self.expiry, self.feedback, self.delivery_count


def whole_records(data, kind):
    """The header and the records of a queue file or a directory of them."""
    header = decode_file_header(data, kind)
    verdict = judge(data, header)
    last = verdict.kept[-1] if verdict.kept else None
    if (verdict.findings or verdict.cut or last is None or last.type != MARK
            or last.watermark != verdict.next_number):
        raise Damaged("the file is not whole")
    records = []
    for frame in verdict.kept[:-1]:
        if frame.type != BATCH:
            raise Unsupported(f"a frame of type {frame.type}")
        records += decode_batch(data, frame)
    return header, records


def filed_message(cursor):
    """The fields of §14.4."""
    number = cursor.varint()
    expiry, feedback, flags = cursor.unpack("qBB")
    if feedback > 3 or flags > 7:
        raise Unsupported(f"a message of feedback mode {feedback} and flags {flags}")
    count = cursor.varint(65_535)
    if flags & 2:
        cursor.unpack("q")
    return Message(number, expiry, feedback, count)


def read_queue_file(path):
    """The checkpoint, the device and its messages."""
    header, records = whole_records(read_file(path), QUEUE_FILE)
    messages = []
    for record in records:
        if record.device != records[0].device:
            raise Damaged("a queue file holds messages to two devices")
        cursor = Cursor(record.body)
        message = filed_message(cursor)
        message.event, message.body = record, cursor.take(cursor.remaining)
        messages.append(message)
    numbers = [message.number for message in messages]
    if not messages or numbers != sorted(set(numbers)):
        raise Damaged("the messages are not in their order")
    return header.file_id, records[0].device, messages


def read_queue_directory(path):
    """By device: the checkpoint of its file, whether that is outdated, and its messages."""
    found = {}
    for record in whole_records(read_file(path), QUEUE_DIRECTORY)[1]:
        cursor = Cursor(record.body)
        checkpoint, is_outdated = cursor.unpack("IB")
        messages = []
        for _ in range(cursor.varint(1_000)):
            messages.append(filed_message(cursor).facts())
            cursor.varint()
        cursor.end()
        entry = found.setdefault(record.device, (checkpoint, is_outdated, []))
        entry[2].extend(messages)
    return found


@dataclass
class Entry:
    """An entry of the journal (§14.1)."""

    kind: int
    # Of the message that it is about; of one that it enqueues nothing.
    number: int = 0
    delivery_count: int = 0
    expiry: int = 0
    feedback: int = 0
    # Whether its record holds no other, and whether a message's body follows it.
    stands_alone: bool = True
    carries_body: bool = False


def journal_entry(cursor):
    kind = cursor.unpack("B")
    if kind in (1, 6):
        expiry, feedback = cursor.unpack("qB")
        if feedback > 3:
            raise Unsupported(f"feedback mode {feedback}")
        if kind == 6:
            cursor.varint(NUMBER_MAX)
        return Entry(kind, expiry=expiry, feedback=feedback, carries_body=True)
    if kind in (2, 3):
        entry = Entry(kind, cursor.varint(NUMBER_MAX), cursor.varint(65_535), stands_alone=False)
        if kind == 2:
            cursor.varint(NUMBER_MAX)
        else:
            cursor.unpack("q")
        return entry
    if kind == 4:
        number = cursor.varint(NUMBER_MAX)
        status, flags = cursor.unpack("BB")
        if status > 4 or flags > 3:
            raise Unsupported(f"a settlement of status {status} and flags {flags}")
        entry = Entry(
            kind, number, cursor.varint(65_535), stands_alone=flags != 0,
            carries_body=flags & 2 != 0)
        decode_text(cursor.take(cursor.varint(4_096)))
        if flags & 2 and cursor.unpack("qqB")[2] > 3:
            raise Unsupported("a dead letter's feedback mode")
        return entry
    if kind == 5:
        return Entry(kind)
    if kind == 0:
        raise Damaged("no journal entry is of kind 0")
    raise Unsupported(f"a journal entry of kind {kind}")


def journal_entries(record):
    """The entries of a record, all of them or none, and the message's body behind them."""
    cursor = Cursor(record.body)
    entries = [journal_entry(cursor)]
    if cursor.remaining and entries[0].stands_alone and not entries[0].carries_body:
        raise Damaged("bytes follow an entry that no message follows")
    while cursor.remaining and not entries[0].stands_alone:
        entries.append(journal_entry(cursor))
        if entries[-1].stands_alone or len(entries) > 256:
            raise Damaged("the body is no run of entries")
    return entries, cursor.take(cursor.remaining)


class Queues:
    """What waits, by device and number, as §14 says that the journal changes it."""

    def __init__(self):
        self.devices = {}

    def apply(self, record):
        entries, body = journal_entries(record)
        queue = self.devices.setdefault(record.device, {})
        for entry in entries:
            if entry.kind in (1, 6):
                if record.number > max(queue, default=-1):
                    queue[record.number] = Message(
                        record.number, entry.expiry, entry.feedback, 0, record, body)
            elif entry.kind in (2, 3):
                if entry.number in queue:
                    queue[entry.number].delivery_count = entry.delivery_count
            elif entry.kind == 4:
                queue.pop(entry.number, None)
            else:
                queue.clear()


# --- printing -----------------------------------------------------------------------------------


class Reader:
    def __init__(self):
        self.has_damage = False

    def note(self, path, text):
        self.has_damage = True
        print(f"{path}: {text}", file=sys.stderr)

    def segment_events(self, path, data, header, evidence):
        verdict = judge(data, header, evidence)
        for finding in verdict.findings:
            lost = f", events {finding.first} up to {finding.next} are gone"
            self.note(path, f"{finding.kind} at {finding.position}"
                      + (lost if finding.first < finding.next else ""))
        if verdict.cut:
            print(f"{path}: {verdict.tail} tail of {len(verdict.cut)} bytes passed over",
                  file=sys.stderr)
        for frame in verdict.kept:
            if frame.type in (MARK, EPOCH) or frame.type >= 128:
                continue
            if frame.type != BATCH:
                raise Unsupported(f"{path}: a frame of type {frame.type}")
            if frame.position in verdict.damaged:
                continue
            try:
                yield from decode_batch(data, frame)
            except Damaged as error:
                self.note(path, f"batch at {frame.position}: {error}")

    def partition_events(self, root, store_id, segments, evidence):
        is_journal = segments[0].stream == JOURNAL
        folder = (os.path.join(root, "queues", "journal") if is_journal
                  else os.path.join(root, "partitions", f"{segments[0].partition:03d}"))
        suffix = "journal" if is_journal else "segment"
        for index, segment in enumerate(segments):
            name = f"{segment.base_number:020d}-{segment.segment_id & 0xFFFFFFFF:08x}.{suffix}"
            path = os.path.join(folder, name)
            is_last = index + 1 == len(segments)
            proven = max(
                segment.sealed_next, evidence.get(segment.segment_id, 0),
                evidence.get(None, 0) if is_last else segments[index + 1].base_number)
            header = segment_header(store_id, segment)
            try:
                data = read_file(path)
            except FileNotFoundError:
                self.note(path, f"the segment is missing, events {segment.base_number} up to "
                          f"{max(proven, segment.base_number)} are gone")
                continue
            try:
                kind = JOURNAL_SEGMENT if is_journal else 1
                if decode_file_header(data, kind).raw != header.raw:
                    self.note(path, "the file header is not the one the manifest names")
            except Damaged as error:
                self.note(path, str(error))
            for event in self.segment_events(path, data, header, proven):
                yield event.time, segment.partition, event

    def store_events(self, root, partitions):
        header, segments, evidence, _, closed = read_manifest(
            read_file(os.path.join(root, "MANIFEST")))
        checkpoints = {}
        try:
            data = read_file(os.path.join(root, "CHECKPOINTS"))
            loss = checkpoints_loss(data, *closed)
            if loss:
                self.note("CHECKPOINTS", loss)
            checkpoints = read_checkpoints(data)
        except FileNotFoundError:
            self.note("CHECKPOINTS", "the file is missing")
        except Damaged as error:
            self.note("CHECKPOINTS", str(error))
        logs = {}
        for segment in segments:
            if segment.stream == 0 and (not partitions or segment.partition in partitions):
                logs.setdefault(segment.partition, []).append(segment)
        return heapq.merge(
            *(self.partition_events(
                root, header.store_id, logs[partition],
                {**evidence, None: checkpoints.get(partition, 0)})
              for partition in sorted(logs)),
            key=lambda found: found[:2])


    def queue_files(self, root, checkpoint):
        """By device the file that holds: its checkpoint, and its messages."""
        found = {}
        for folder, _, names in os.walk(os.path.join(root, "queues")):
            for name in sorted(names):
                if not name.endswith(".queue"):
                    continue
                path = os.path.join(folder, name)
                try:
                    number, device, messages = read_queue_file(path)
                except Damaged as error:
                    self.note(path, str(error))
                    continue
                if found.get(device, (0, None))[0] < number <= checkpoint:
                    found[device] = (number, messages)
        return found

    def compare_directory(self, root, checkpoint, files):
        """Derived data: what it says is what the files say, where they are not outdated."""
        path = os.path.join(root, "queues", f"{checkpoint:08x}.directory")
        try:
            directory = read_queue_directory(path)
        except FileNotFoundError:
            return
        except Damaged as error:
            self.note(path, str(error))
            return
        for device, (number, is_outdated, messages) in directory.items():
            if device not in files or files[device][0] != number:
                continue
            filed = [message.facts() for message in files[device][1]]
            if not is_outdated and filed != messages:
                self.note(path, f"it says of {device} what its file does not say")

    def queues(self, root):
        """Everything that waits, by device and number."""
        header, segments, evidence, (checkpoint, floor), _ = read_manifest(
            read_file(os.path.join(root, "MANIFEST")))
        files = self.queue_files(root, checkpoint)
        if checkpoint:
            self.compare_directory(root, checkpoint, files)
        queues = Queues()
        for device, (_, messages) in files.items():
            queues.devices[device] = {message.number: message for message in messages}
        journal = [segment for segment in segments if segment.stream == JOURNAL]
        if journal:
            for _, _, record in self.partition_events(
                    root, header.store_id, journal, {**evidence, None: floor}):
                if record.number < floor:
                    continue
                try:
                    queues.apply(record)
                except Damaged as error:
                    self.note("queues/journal", f"record {record.number}: {error}")
        return [queue[number]
                for _, queue in sorted(queues.devices.items()) for number in sorted(queue)]


def read_file(path):
    with open(path, "rb") as file:
        return file.read()


def format_time(microseconds):
    """RFC 3339, by the civil calendar for days since 1970 (all years, unlike datetime)."""
    seconds, fraction = divmod(microseconds, 1_000_000)
    days, seconds = divmod(seconds, 86_400)
    era, day = divmod(days + 719_468, 146_097)
    year = (day - day // 1_460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5 - 1
    month += 3 if month < 10 else -9
    year += era * 400 + (1 if month <= 2 else 0)
    return (f"{year:04d}-{month:02d}-{day:02d}T{seconds // 3_600:02d}:{seconds // 60 % 60:02d}:"
            f"{seconds % 60:02d}.{fraction:06d}Z")


def format_event(partition, event):
    line = {
        "partition": partition, "sequenceNumber": event.number,
        "enqueuedTime": format_time(event.time), "deviceId": event.device,
    }
    return format_line(line, event, event.body)


def format_message(message):
    event = message.event
    line = {
        "sequenceNumber": message.number, "deviceId": event.device,
        "deliveryCount": message.delivery_count, "expiryTime": format_time(message.expiry),
    }
    return format_line(line, event, message.body)


def format_line(line, event, body):
    for number, key in enumerate(PRINTED_PROPERTIES):
        if number in event.texts:
            line[key] = event.texts[number]
    if event.properties:
        line["properties"] = event.properties
    try:
        line["body"] = bytes(body).decode("utf-8")
    except UnicodeDecodeError:
        line["bodyBase64"] = base64.b64encode(body).decode("ascii")
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def print_verdict(path):
    data = read_file(path)
    header = FileHeader(bytes(data[:FILE_HEADER_SIZE]))
    verdict = judge(data, decode_file_header(data, header.kind))
    print(json.dumps({
        "position": verdict.position, "nextNumber": verdict.next_number, "tail": verdict.tail,
        "cut": len(verdict.cut), "kept": [frame.position for frame in verdict.kept],
        "findings": [[f.kind, f.position, f.first, f.next] for f in verdict.findings],
    }, separators=(",", ":")))


def main(arguments):
    if arguments[:1] == ["--verdict"]:
        for path in arguments[1:]:
            print_verdict(path)
        return 0
    prints_queues = arguments[:1] == ["--queues"]
    if prints_queues:
        arguments = arguments[1:]
    partitions = set()
    paths = []
    while arguments:
        argument = arguments.pop(0)
        if argument == "--partition" and arguments and arguments[0].isdigit():
            partitions.add(int(arguments.pop(0)))
        else:
            paths.append(argument)
    if len(paths) != 1 or paths[0].startswith("-"):
        print(__doc__.strip(), file=sys.stderr)
        return 64
    reader = Reader()
    if XXHASH is None:
        print("reader: no libxxhash.so.0, content checksums are left out", file=sys.stderr)
    try:
        if prints_queues:
            waiting = (reader.queues(paths[0]) if os.path.isdir(paths[0])
                       else read_queue_file(paths[0])[2])
            for message in waiting:
                sys.stdout.buffer.write(format_message(message))
            found = ()
        elif os.path.isdir(paths[0]):
            found = ((partition, event)
                     for _, partition, event in reader.store_events(paths[0], partitions))
        else:
            data = read_file(paths[0])
            header = decode_file_header(data, 1)
            found = ((header.partition, event)
                     for event in reader.segment_events(paths[0], data, header, 0))
        for partition, event in found:
            sys.stdout.buffer.write(format_event(partition, event))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Damaged, Unsupported, OSError, KeyError) as error:
        sys.stdout.buffer.flush()
        print(f"reader: {type(error).__name__.lower()}: {error}", file=sys.stderr)
        return 1
    return 2 if reader.has_damage else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
