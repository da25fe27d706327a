import EventModel
import LogFormat
import Testing

/// The rows that name a tail (format-spec §5.2, R13 to R17).
@Suite struct TailVerdictTests {
  @Test func `R13: records that a watermark proves and that are gone are a lost suffix`() {
    var image = LogImage()
    let first = image.append(watermark: 100)
    let lost = image.append(watermark: 110)
    image.erase(lost.range)
    let verdict = image.decide(evidence: 120)
    #expect(verdict.tail == .lostSuffix && verdict.lostSuffix == 110..<120)
    #expect(verdict.end.position == first.range.upperBound)
    // I15: the next record never takes a number that was acknowledged.
    #expect(verdict.nextNumber == 120)
  }

  @Test func `R13: evidence beyond an empty file is a lost suffix`() {
    let verdict = LogImage().decide(evidence: 105)
    #expect(verdict.tail == .lostSuffix && verdict.lostSuffix == 100..<105)
    #expect(verdict.cut.isEmpty && verdict.nextNumber == 105)
  }

  @Test func `R13: what lies above the watermark in a damaged last frame is reported as well`() {
    var image = LogImage()
    image.append(watermark: 100)
    let last = image.append(watermark: 110)
    image.flipBodyBit(of: last)
    let verdict = image.decide(evidence: 115)
    #expect(verdict.tail == .lostSuffix && verdict.lostSuffix == 110..<115)
    #expect(verdict.possiblyAcknowledged == 115..<120)
    #expect(verdict.nextNumber == 115)
  }

  @Test func `R14: nothing, or only zeros, behind the last frame is clean`() {
    var image = LogImage()
    image.append(watermark: 100)
    image.appendMark(watermark: 110)
    let end = image.bytes.count
    image.bytes += [UInt8](repeating: 0, count: 70_001)
    let verdict = image.decide()
    #expect(verdict.tail == .clean && verdict.cut.isEmpty && verdict.end.position == end)
    #expect(LogImage().decide().tail == .clean)
  }

  @Test func `R15: the last group is undecidable and its records are named`() {
    var image = LogImage()
    image.append(watermark: 100)
    let damaged = image.append(watermark: 110)
    let behind = image.append(watermark: 110)
    image.flipBodyBit(of: damaged)
    let verdict = image.decide()
    #expect(verdict.tail == .undecidableTail)
    #expect(verdict.possiblyAcknowledged == 110..<130)
    #expect(verdict.cut.lowerBound == damaged.range.lowerBound)
    #expect(verdict.cut.upperBound == behind.range.upperBound)
  }

  @Test func `R15: a frame whose end the file does not hold is undecidable`() {
    var image = LogImage()
    image.append(watermark: 100)
    let last = image.append(watermark: 110)
    image.bytes.removeLast(last.range.count - 80)
    let verdict = image.decide()
    #expect(verdict.tail == .undecidableTail && verdict.possiblyAcknowledged == 110..<120)
    #expect(verdict.cut == last.range.lowerBound..<image.bytes.count)
  }

  @Test func `R16: an unfinished write without a whole frame behind it is torn`() {
    for size in 1..<FrameHeader.size {
      var image = LogImage()
      image.append(watermark: 100)
      let last = image.append(watermark: 110)
      image.bytes.removeLast(last.range.count - size)
      let verdict = image.decide()
      #expect(verdict.tail == .tornTail, "\(size) bytes of a header")
      // Zeros at the end are not data.
      let endOfData = (image.bytes.lastIndex { $0 != 0 } ?? 0) + 1
      #expect(verdict.cut == last.range.lowerBound..<endOfData)
      #expect(verdict.possiblyAcknowledged == nil && verdict.findings.isEmpty)
      #expect(verdict.nextNumber == 110)
    }
  }

  @Test func `R17: whole frames behind a missing one, none proven, are reordered writes`() {
    var image = LogImage()
    image.append(watermark: 100)
    let missing = image.append(watermark: 100)
    let written = image.append(watermark: 100)
    image.erase(missing.range)
    let verdict = image.decide()
    #expect(verdict.tail == .reorderedTail)
    #expect(verdict.cut == missing.range.lowerBound..<written.range.upperBound)
    #expect(verdict.possiblyAcknowledged == nil && verdict.nextNumber == 110)
  }

  @Test func `every cut of a log below its first watermark leaves a prefix and no finding`() {
    var image = LogImage()
    image.appendEpoch(watermark: 100)
    var ends: [Int] = [FileHeader.size, image.bytes.count]
    for _ in 0..<4 { ends.append(image.append(watermark: 100).range.upperBound) }
    let whole = image.bytes
    for size in FileHeader.size...whole.count {
      image.bytes = Array(whole[..<size])
      let verdict = image.decide()
      // The padding of the last frame may be missing: its sections are what counts.
      let kept = ends.last { $0 - 56 <= size || $0 == FileHeader.size }
      #expect(verdict.end.position == kept, "cut at \(size)")
      #expect(verdict.findings.isEmpty && verdict.lostSuffix == nil)
    }
  }

  @Test func `one damaged byte never costs more than the frame it stands in`() {
    var image = LogImage()
    image.appendEpoch(watermark: 100)
    var frames: [LogImage.Placed] = []
    for _ in 0..<4 { frames.append(image.append(watermark: image.nextNumber)) }
    image.appendMark(watermark: image.nextNumber)
    let whole = image.bytes
    for position in frames[0].range.lowerBound..<frames[3].range.upperBound {
      image.bytes = whole
      image.bytes[position] ^= 0x41
      let verdict = image.decide(checksEverything: true)
      let lost = verdict.findings.filter(\.lostRecords)
      #expect(verdict.end.nextNumber == 140 && verdict.tail == .clean, "byte \(position)")
      #expect(lost.count <= 1, "byte \(position)")
      if let lost = lost.first {
        let frame = frames.first { $0.range.contains(position) }
        #expect(lost.first == frame?.baseNumber && lost.next == frame?.nextNumber)
      }
    }
  }
}
