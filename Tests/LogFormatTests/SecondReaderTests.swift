import EventModel
import Foundation
import LogFormat
import Testing

/// `tools/reader.py` was written from `format-spec.md` alone.
///
/// Where it and this code disagree, the contract does not say what the code does.
@Suite struct SecondReaderTests {
  private static let root = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

  /// Runs the reader on files in a fresh folder, or on the folder itself, and returns its lines.
  private func read(
    _ files: [(name: String, bytes: [UInt8])], _ options: [String] = [], asStore: Bool = false
  ) throws -> [Substring] {
    let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
    defer { try? FileManager.default.removeItem(at: folder) }
    var paths: [String] = []
    for file in files {
      let path = folder.appending(path: file.name)
      try FileManager.default.createDirectory(
        at: path.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(file.bytes).write(to: path)
      paths.append(path.path())
    }
    let output = folder.appending(path: "output")
    try Data().write(to: output)
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments =
      ["python3", Self.root.appending(path: "tools/reader.py").path()] + options
      + (asStore ? [folder.path()] : paths)
    process.standardOutput = try FileHandle(forWritingTo: output)
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    return try String(contentsOf: output, encoding: .utf8).split(separator: "\n")
  }

  private func read(_ images: [[UInt8]], _ options: [String] = []) throws -> [Substring] {
    try read(images.enumerated().map { ("\($0.offset).segment", $0.element) }, options)
  }

  @Test func `the contract's examples are a store that the second reader prints`() throws {
    let examples = Dictionary(uniqueKeysWithValues: SpecExamples.all.map { ($0.name, $0.bytes) })
    func file(_ names: String...) -> [UInt8] { names.flatMap { examples[$0] ?? [] } }
    let stem = FileNames.segmentStem(baseNumber: 100, segmentID: 7)
    let segment = "\(FileNames.partitions)/\(FileNames.partition(3))/\(stem)"
    let lines = try read(
      [
        (FileNames.manifest, file("manifest-header", "manifest-edits-frame")),
        (FileNames.checkpoints, file("checkpoints-header", "checkpoint-frame")),
        (
          segment + FileNames.segmentSuffix,
          file("file-header", "epoch-frame", "batch-frame", "mark-frame")
        ),
      ], asStore: true)
    let first =
      #"{"partition":3,"sequenceNumber":100,"enqueuedTime":"2023-11-14T22:13:20.000200Z","#
      + #""deviceId":"thermo-2","contentType":"text/plain","properties":{"unit":"C"},"#
      + #""body":"21.5"}"#
    let second =
      #"{"partition":3,"sequenceNumber":101,"enqueuedTime":"2023-11-14T22:13:20.000450Z","#
      + #""deviceId":"thermo-3","messageId":"m-7","contentType":"text/plain","body":"{}"}"#
    #expect(lines == [first[...], second[...]])
  }

  @Test(arguments: [31, 32, 33, 34])
  func `the second reader finds the events of random batches`(seed: Int) throws {
    var generator = try BatchGenerator(seed: UInt64(seed), deviceCount: 40)
    let header = Fixed.segmentHeader
    var bytes = encoded(header)
    var chain = header.chain
    var number = header.baseNumber
    var events: [SampleEvent] = []
    for _ in 0..<6 {
      let next = generator.events(Int.random(in: 1...300, using: &generator.random))
      let frame = SealedBatch(next).frame(
        baseNumber: number, watermark: number, epoch: 0, chain: chain, identity: header.identity,
        at: bytes.count)
      bytes += frame.bytes
      chain = frame.checksum
      number += UInt64(next.count)
      events += next
    }
    let lines = try read([bytes])
    #expect(lines.count == events.count, "seed \(seed)")
    for (index, (line, event)) in zip(lines, events).enumerated() {
      let parsed = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
      let object = try #require(parsed)
      let body = (object["body"] as? String).map { Array($0.utf8) }
      let encodedBody = (object["bodyBase64"] as? String).flatMap { Data(base64Encoded: $0) }
      let isEqual =
        object["sequenceNumber"] as? Int == Int(header.baseNumber) + index
        && object["partition"] as? Int == 3
        && object["deviceId"] as? String == event.device.description
        && (body ?? encodedBody.map { Array($0) }) == event.body
        && object["messageId"] as? String == event.texts[.messageID]
        && object["moduleId"] as? String == event.texts[.moduleID]
        && object["correlationId"] as? String == event.texts[.correlationID]
        && object["userId"] as? String == event.texts[.userID]
        && object["contentType"] as? String == event.texts[.contentType]
        && object["contentEncoding"] as? String == event.texts[.contentEncoding]
        && object["creationTime"] as? String == event.texts[.creationTime]
        && object["properties"] as? [String: String] ?? [:]
          == Dictionary(uniqueKeysWithValues: event.properties.map { ($0.name, $0.value) })
      guard isEqual else {
        Issue.record("seed \(seed), event \(index): \(line)")
        return
      }
    }
  }

  /// A log with a random history: epochs, marks, cuts, lost suffixes; then random damage.
  private func randomImage(_ random: inout SeededRandom) -> LogImage {
    var image = LogImage()
    var watermark = image.nextNumber
    for _ in 0..<Int.random(in: 1...12, using: &random) {
      switch Int.random(in: 0..<10, using: &random) {
      case 0:
        if random.chance(30) { image.nextNumber += 7 }
        image.appendEpoch(watermark: min(watermark, image.nextNumber))
      case 1: image.appendMark(watermark: watermark)
      case 2: image.append(watermark: watermark, chain: UInt32(truncatingIfNeeded: random.next()))
      case 3: image.append(watermark: watermark, base: image.nextNumber + 3)
      case 4:
        let base = max(watermark, image.nextNumber - 5)
        image.append(watermark: watermark, base: base)
      default: image.append(count: UInt32.random(in: 1...20, using: &random), watermark: watermark)
      }
      if random.chance(50) { watermark = image.nextNumber }
    }
    for _ in 0..<Int.random(in: 0...3, using: &random) {
      let position = Int.random(in: FileHeader.size..<image.bytes.count, using: &random)
      switch Int.random(in: 0..<4, using: &random) {
      case 0: image.bytes[position] ^= 4
      case 1: image.erase(position..<min(image.bytes.count, position + 400))
      case 2: image.bytes.removeSubrange(position...)
      default: image.bytes += random.bytes(100) + [0, 0, 0]
      }
      if image.bytes.count <= FileHeader.size { break }
    }
    return image
  }

  @Test func `both readers judge random damage alike`() throws {
    let seed: UInt64 = 35
    var random = SeededRandom(seed)
    var images: [LogImage] = []
    for _ in 0..<400 { images.append(randomImage(&random)) }
    let lines = try read(images.map(\.bytes), ["--verdict"])
    #expect(lines.count == images.count)
    var tails: Set<TailVerdict> = []
    var kinds: Set<RecoveryRule.Finding.Kind> = []
    for (number, (line, image)) in zip(lines, images).enumerated() {
      let verdict = image.decide(checksEverything: true)
      tails.insert(verdict.tail)
      kinds.formUnion(verdict.findings.map(\.kind))
      #expect(line == Self.text(verdict), "seed \(seed), image \(number)")
    }
    // The images are worth the name of random only if they reach every verdict.
    #expect(tails == Set(TailVerdict.allCases) && kinds.count == 3)
  }

  private static func text(_ verdict: RecoveryRule.Verdict) -> String {
    let tail =
      switch verdict.tail {
      case .clean: "clean"
      case .tornTail: "torn"
      case .reorderedTail: "reordered"
      case .undecidableTail: "undecidable"
      case .lostSuffix: "lost suffix"
      }
    var findings = verdict.findings.map { finding in
      let kind =
        switch finding.kind {
        case .damaged: "damaged"
        case .missing: "missing"
        case .brokenChain: "broken chain"
        }
      return "[\"\(kind)\",\(finding.position),\(finding.first),\(finding.next)]"
    }
    if let lost = verdict.lostSuffix {
      findings.append(
        "[\"lost suffix\",\(verdict.end.position),\(lost.lowerBound),\(lost.upperBound)]")
    }
    let kept = verdict.kept.map { String($0.position) }.joined(separator: ",")
    return "{\"position\":\(verdict.end.position),\"nextNumber\":\(verdict.end.nextNumber),"
      + "\"tail\":\"\(tail)\",\"cut\":\(verdict.cut.count),\"kept\":[\(kept)],"
      + "\"findings\":[\(findings.joined(separator: ","))]}"
  }
}
