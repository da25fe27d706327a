import EventModel
import Foundation
import LogFormat
import Testing

/// The contract's examples and the code must not drift apart.
@Suite struct SpecExampleTests {
  @Test func `every example in format-spec is what the code writes`() throws {
    let printed = try Self.printedExamples()
    let built = SpecExamples.all
    #expect(Set(printed.keys) == Set(built.map(\.name)))
    for (name, bytes) in built where printed[name] != bytes {
      Issue.record("format-spec.md: example \(name) should be\n\(bytes.hexLines)")
    }
  }

  @Test func `the example frames decode to what format-spec says of them`() throws {
    let identity = Fixed.segmentHeader.identity
    var bytes = encoded(Fixed.segmentHeader)
    for (name, frame) in SpecExamples.all
    where ["epoch-frame", "batch-frame", "mark-frame"].contains(name) { bytes += frame }
    var scanner = FrameScanner(MemorySource(bytes: bytes), identity: identity)
    let frames = scanner.scan(from: FileHeader.size).frames
    #expect(frames.map(\.header.type) == [3, 1, 2])
    for frame in frames {
      let isIntact = scanner.isIntact(frame)
      #expect(isIntact)
    }
    let batch = try #require(frames.dropFirst().first)
    let clearStart = batch.position + FrameHeader.size
    let bodyStart = clearStart + Int(batch.header.clearSize)
    let bodyEnd = bodyStart + Int(batch.header.storedSize)
    let decoded = try decodeBatch(
      header: batch.header, clear: Array(bytes[clearStart..<bodyStart]),
      blocks: Array(bytes[bodyStart..<bodyEnd]))
    #expect(decoded.count == 2 && decoded.baseOffset == 100)
    #expect(decoded.body(at: 0) == Array("21.5".utf8))
    #expect(decoded.text(.messageID, at: 1) == "m-7")
    #expect(decoded.text(.messageID, at: 0) == nil)
  }

  /// The fenced blocks that begin with "```hex example=NAME"; `#` begins a comment.
  private static func printedExamples() throws -> [String: [UInt8]] {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let page = try String(contentsOf: root.appending(path: "format-spec.md"), encoding: .utf8)
    var examples: [String: [UInt8]] = [:]
    var name: String?
    for line in page.split(separator: "\n", omittingEmptySubsequences: false) {
      let opening = "```hex example="
      if line.hasPrefix(opening) {
        let opened = String(line.dropFirst(opening.count))
        #expect(examples[opened] == nil, "example \(opened) is given twice")
        examples[opened] = []
        name = opened
      } else if line == "```" {
        name = nil
      } else if let name {
        let digits = line.prefix { $0 != "#" }.split(separator: " ")
        examples[name]? += digits.compactMap { UInt8($0, radix: 16) }
      }
    }
    return examples
  }
}
