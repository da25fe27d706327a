import EventModel
import FuzzHarness
import LogFormat

/// A file of frames made of any bytes: header, scanner, recovery rule and the healing of a tail
/// never trap, and what they decide is consistent with itself.
///
/// The first byte of the input says which checksums are mended before decoding, because no fuzzer
/// guesses a checksum and everything interesting lies behind one.
enum Frames {
  static let target = FuzzTarget("frames", seeds: seeds) { input in
    guard let control = input.first else { return }
    var file = Array(input.dropFirst())
    Mending.apply(&file, control: control)
    examine(file, checksEverything: control & 8 != 0)
  }

  private static func examine(_ file: [UInt8], checksEverything: Bool) {
    let header: FileHeader
    do throws(FormatError) {
      header = try FileHeader(decoding: file.span.bytes)
    } catch {
      header = Mending.fallback
    }
    var scanner = FrameScanner(Bytes(bytes: file), identity: header.identity)
    let scan = scanner.scan(from: FileHeader.size)
    var position = FileHeader.size
    for frame in scan.frames {
      precondition(frame.position >= position, "frames overlap at \(frame.position)")
      precondition(frame.position % FrameHeader.alignment == 0, "a frame off its alignment")
      position = frame.end
    }
    let start = RecoveryRule.Start(
      position: FileHeader.size, chain: header.chain, nextNumber: header.baseNumber, epoch: 0)
    let verdict = RecoveryRule.decide(
      from: start, scan: scan, evidence: 0, checksEverything: checksEverything
    ) { scanner.isIntact($0) }
    check(verdict, of: scan, in: file)
    heal(file, header, behind: verdict)
    if verdict.kept.count > 1, !verdict.findings.isEmpty { Fuzzing.landmark() }
  }

  /// What healing sets right is one bit of one frame, which holds with it.
  private static func heal(
    _ file: [UInt8], _ header: FileHeader, behind verdict: RecoveryRule.Verdict
  ) {
    let healing = TailHealing(Bytes(bytes: file), identity: header.identity) { header, _, body in
      var content = ContentChecksum()
      content.add(body)
      return content.value == header.contentChecksum
    }
    guard let repair = healing.repair(at: verdict.end) else { return }
    precondition(repair.frame.lowerBound == verdict.end.position, "a frame elsewhere was healed")
    precondition(repair.frame.contains(repair.position), "a bit outside the frame was healed")
    let difference = file[repair.position] ^ repair.value
    precondition(difference.nonzeroBitCount == 1, "\(difference) is not one bit")
    var healed = file
    healed[repair.position] = repair.value
    var scanner = FrameScanner(Bytes(bytes: healed), identity: header.identity)
    let frame = scanner.scan(from: repair.frame.lowerBound).frames.first
    precondition(frame?.position == repair.frame.lowerBound, "what was healed is no frame")
    precondition(frame.map { scanner.isIntact($0) } == true, "what was healed does not hold")
  }

  private static func check(
    _ verdict: RecoveryRule.Verdict, of scan: ScanResult, in file: [UInt8]
  ) {
    precondition(verdict.nextNumber >= verdict.watermark, "a number would be given twice")
    precondition(verdict.kept.count <= scan.frames.count, "frames out of nothing")
    var position = FileHeader.size
    for frame in verdict.kept {
      precondition(frame.position >= position, "kept frames overlap at \(frame.position)")
      position = frame.end
    }
    precondition(verdict.end.position == position, "the end is not behind the last frame kept")
    if !verdict.cut.isEmpty {
      precondition(verdict.cut.lowerBound == position, "the cut begins inside what is kept")
      precondition(verdict.cut.upperBound <= file.count, "the cut ends behind the file")
    }
    for finding in verdict.findings {
      precondition(finding.first <= finding.next, "a gap that runs backwards")
    }
  }

  /// A file with an epoch, a few frames of edits, and one with a number missing.
  private static func seeds() -> [[UInt8]] {
    let header = Mending.fallback
    var buffer = ByteBuffer()
    header.encode(into: &buffer)
    var body = ByteBuffer()
    body.append(UInt64(0x0102_0304_0506_0708))
    var chain = header.chain
    for (type, number, count) in [(3, 0, 0), (5, 0, 3), (5, 3, 2), (2, 5, 0), (5, 9, 1)] {
      var frame = FrameHeader(
        type: UInt8(type), epoch: 1, recordCount: UInt32(count), baseNumber: UInt64(number),
        baseTime: Timestamp(microseconds: 1_700_000_000_000_000), watermark: UInt64(number),
        chain: chain)
      frame.chain = chain
      chain = FrameAssembly.append(
        frame, body: body, to: &buffer, identity: header.identity,
        position: FilePosition(buffer.count))
    }
    let file = buffer.array(0..<buffer.count)
    return [[0] + file, [7] + file, [15] + file.dropLast(70)]
  }
}

/// A file in memory.
struct Bytes: FrameSource {
  let bytes: [UInt8]

  var size: Int { bytes.count }

  func read(at position: Int, into buffer: inout MutableRawSpan) -> Int {
    let count = min(buffer.byteCount, max(bytes.count - position, 0))
    guard count > 0 else { return 0 }
    buffer.withUnsafeMutableBytes { target in
      bytes.withUnsafeBytes { source in
        target.copyMemory(from: .init(rebasing: source[position..<position + count]))
      }
    }
    return count
  }
}
