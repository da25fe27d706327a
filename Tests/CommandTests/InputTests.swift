import CommandSupport
import Glibc
import Testing

@Suite("Inputs")
struct InputTests {
  @Test(
    "Lines end at line feeds, lose a carriage return before them, and blank ones are passed over",
    arguments: [
      ("a\nb\n", ["a", "b"]), ("a\r\nb", ["a", "b"]), ("\n\na\n\r\n\nb\n", ["a", "b"]),
      ("", []), ("\n", []), ("a\rb\n", ["a\rb"]), ("\u{feff}a\n\u{feff}b\n", ["a", "\u{feff}b"]),
      ("\u{feff}", []),
    ])
  func lines(text: String, expected: [String]) throws {
    #expect(try TestInput.lines(TestInput.stream(text)) == expected)
  }

  @Test("Line numbers count blank lines")
  func lineNumbers() throws {
    var reader = LineReader(TestInput.stream("a\n\n\nb\n"))
    _ = try reader.next()
    #expect(reader.lineNumber == 1)
    _ = try reader.next()
    #expect(reader.lineNumber == 4)
    #expect(try reader.next() == nil)
    #expect(reader.inputBytes == 6)
  }

  @Test("Lines that cross chunks are whole", arguments: [1, 2, 3, 4, 5] as [UInt64])
  func longLines(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let lines = (0..<40).map { _ in
      String(repeating: "x", count: Int.random(in: 1...200_000, using: &random)) + "."
    }
    let text = lines.joined(separator: "\n")
    #expect(try TestInput.lines(TestInput.stream(text)) == lines, "seed \(seed)")
  }

  @Test("A line above the limit is an error that names it; one at the limit is read")
  func lineLimit() throws {
    let limit = LineReader.lineSizeMax
    let fits = [UInt8](repeating: 0x61, count: limit) + [0x0a]
    #expect(try TestInput.lines(TestInput.stream(fits)).map(\.utf8.count) == [limit])
    let tooLong = Array("a\n".utf8) + [UInt8](repeating: 0x61, count: limit * 2)
    #expect(throws: InputError(file: "input", .lineTooLong(line: 2, limit: limit))) {
      try TestInput.lines(TestInput.stream(tooLong))
    }
    var reader = LineReader(TestInput.stream(tooLong + Array("\nb\n".utf8)))
    #expect(try reader.next() == Array("a".utf8)[...])
    #expect(throws: InputError.self) { try reader.next() }
    #expect(try reader.next() == Array("b".utf8)[...])
    #expect(reader.lineNumber == 3)
  }

  @Test("Compressed inputs are read, also several one after another")
  func concatenated() throws {
    let first = Array("one\ntw".utf8)
    let second = Array("o\nthree\n".utf8)
    let expected = ["one", "two", "three"]
    let gzip = TestInput.gzip(first) + TestInput.gzip([]) + TestInput.gzip(second)
    #expect(try TestInput.lines(TestInput.stream(gzip)) == expected)
    #expect(try TestInput.lines(TestInput.stream(gzip + [0, 0, 0])) == expected)
    let skippable: [UInt8] = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]
    let zstd = TestInput.zstd(first) + skippable + TestInput.zstd(second)
    #expect(try TestInput.lines(TestInput.stream(zstd)) == expected)
    #expect(try TestInput.lines(TestInput.stream(skippable + zstd + skippable)) == expected)
  }

  @Test(
    "Compressed inputs larger than every buffer come back whole", arguments: [11, 12] as [UInt64])
  func largeCompressed(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let lines = (0..<60_000).map { _ in "\(random.next()),\(random.next() % 10)" }
    let bytes = Array(lines.joined(separator: "\n").utf8)
    #expect(try TestInput.lines(TestInput.stream(TestInput.gzip(bytes))) == lines, "seed \(seed)")
    #expect(try TestInput.lines(TestInput.stream(TestInput.zstd(bytes))) == lines, "seed \(seed)")
    // Highly compressible: far more output than input at every step.
    let same = [UInt8](repeating: 0x61, count: 5_000_000)
    for packed in [TestInput.gzip(same), TestInput.zstd(same)] {
      #expect(try TestInput.lines(TestInput.stream(packed)).map(\.utf8.count) == [5_000_000])
    }
  }

  @Test("A compressed input cut anywhere is an error, never a shorter input")
  func truncated() throws {
    let text = Array("some telemetry, some telemetry, some more\n".utf8)
    for (packed, name) in [(TestInput.gzip(text), "a.gz"), (TestInput.zstd(text), "a.zst")] {
      for count in 0..<packed.count {
        let error = #expect(throws: InputError.self, "cut at \(count)") {
          try TestInput.lines(TestInput.stream(Array(packed.prefix(count)), name: name))
        }
        #expect(error?.file == name)
        if case .truncated = error?.problem {} else { Issue.record("\(count): \(error as Any)") }
      }
    }
  }

  @Test("A damaged compressed input is an error, and so is what follows it")
  func damaged() throws {
    let text = Array("some telemetry, some telemetry, some more\n".utf8)
    var gzip = TestInput.gzip(text)
    let after = gzip + Array("plain".utf8)
    gzip[gzip.count - 6] ^= 1
    for bytes in [gzip, after, TestInput.zstd(text) + Array("plain".utf8)] {
      let error = #expect(throws: InputError.self) {
        try TestInput.lines(TestInput.stream(bytes))
      }
      if case .corrupt = error?.problem {} else { Issue.record("\(error as Any)") }
    }
  }

  @Test("A pause in a pipe is seen, even in the middle of a line")
  func pause() throws {
    let (stream, end) = TestInput.pipe()
    var reader = LineReader(stream)
    #expect(try !reader.hasLineAtHand())
    _ = write(end, "first\nsec", 9)
    #expect(try reader.hasLineAtHand())
    #expect(try reader.next().map { Array($0) } == Array("first".utf8))
    #expect(try !reader.hasLineAtHand())
    _ = write(end, "ond\n", 4)
    #expect(try reader.hasLineAtHand())
    #expect(try reader.next().map { Array($0) } == Array("second".utf8))
    close(end)
    #expect(try reader.hasLineAtHand())
    #expect(try reader.next() == nil)
  }

  @Test("A pause in a compressed pipe is seen")
  func compressedPause() throws {
    let (stream, end) = TestInput.pipe()
    var reader = LineReader(stream)
    let first = TestInput.zstd(Array("first\n".utf8))
    _ = write(end, first, 3)
    #expect(try !reader.hasLineAtHand())
    _ = write(end, Array(first[3...]), first.count - 3)
    #expect(try reader.hasLineAtHand())
    #expect(try reader.next().map { Array($0) } == Array("first".utf8))
    #expect(try !reader.hasLineAtHand())
    close(end)
    #expect(try reader.next() == nil)
  }

  @Test("A missing file and a folder are errors that name them")
  func missing() throws {
    let error = #expect(throws: InputError.self) { try InputFile("no/such.json").open() }
    #expect(
      error?.description == "cannot open no/such.json: No such file or directory; "
        + "name a file that can be read")
    #expect(throws: InputError(file: "/", .failed(operation: "read", errno: EISDIR))) {
      try TestInput.lines(InputFile("/").open())
    }
  }

  @Test("Kept lines stay as they were")
  func keptLines() throws {
    let lines = (0..<50_000).map { "line \($0) of many" }
    var reader = LineReader(TestInput.stream(lines.joined(separator: "\n")))
    var kept: [ArraySlice<UInt8>] = []
    while let line = try reader.next() { kept.append(line) }
    #expect(kept.map { String(decoding: $0, as: UTF8.self) } == lines)
  }
}
