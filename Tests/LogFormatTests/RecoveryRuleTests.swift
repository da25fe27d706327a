import EventModel
import LogFormat
import Testing

/// One test for each row of the decision table (format-spec §5.2).
@Suite struct RecoveryRuleTests {
  @Test func `R1: frames of an older epoch are passed over`() {
    var image = LogImage()
    image.appendEpoch(watermark: 100)
    let kept = image.append(watermark: 100)
    let abandoned = image.append(watermark: 100)
    // Cut behind `kept`: a new epoch takes the place of the abandoned frame's beginning.
    let stale = Array(image.bytes[abandoned.range])
    image.bytes.removeSubrange(abandoned.range)
    image.chain = kept.checksum
    image.nextNumber = 110
    let epoch = image.appendEpoch(watermark: 110)
    image.bytes += stale
    let verdict = image.decide()
    #expect(verdict.end.position == epoch.range.upperBound && verdict.end.epoch == 2)
    #expect(verdict.kept.count == 3 && verdict.findings.isEmpty)
    #expect(verdict.nextNumber == 110)
  }

  @Test func `R1: a stale frame at its own place behind the new epoch is no part of the log`() {
    var image = LogImage()
    image.appendEpoch(watermark: 100)
    let kept = image.append(watermark: 100)
    image.append(watermark: 100)
    let stale = image.append(watermark: 100)
    let old = image.bytes
    image.bytes.removeSubrange(kept.range.upperBound...)
    image.chain = kept.checksum
    image.nextNumber = 110
    let epoch = image.appendEpoch(watermark: 110)
    // The rest of the file is what stood there before the cut.
    image.bytes += old[epoch.range.upperBound...]
    let verdict = image.decide(evidence: 200)
    #expect(verdict.kept.map(\.header.epoch) == [1, 1, 2])
    #expect(verdict.cut == epoch.range.upperBound..<stale.range.upperBound)
    #expect(verdict.tail == .lostSuffix)
  }

  @Test func `R2: a proven frame that begins below the next number is passed over`() {
    var image = LogImage()
    let first = image.append(watermark: 100)
    image.append(watermark: 100, base: 100)
    let next = image.append(watermark: 110, base: 110, chain: first.checksum)
    let verdict = image.decide(evidence: 120)
    #expect(verdict.kept.map(\.position) == [first.range.lowerBound, next.range.lowerBound])
    #expect(verdict.end.nextNumber == 120 && verdict.tail == .clean)
  }

  @Test func `R3: an unproven frame that begins below the next number stops the walk`() {
    var image = LogImage()
    let first = image.append(watermark: 100)
    let overlapping = image.append(watermark: 100, base: 105)
    let verdict = image.decide()
    #expect(verdict.kept.count == 1 && verdict.end.position == first.range.upperBound)
    #expect(verdict.cut == overlapping.range && verdict.tail == .tornTail)
  }

  @Test func `R4: whole, contiguous and chained frames stay without any watermark`() {
    var image = LogImage()
    image.appendEpoch(watermark: 100)
    for _ in 0..<5 { image.append(watermark: 100) }
    let verdict = image.decide()
    #expect(verdict.kept.count == 6 && verdict.findings.isEmpty)
    #expect(verdict.end.nextNumber == 150 && verdict.watermark == 100)
    #expect(verdict.end.chain == image.chain && verdict.tail == .clean)
  }

  @Test func `R5: an epoch frame announces the numbers that a lost suffix took along`() {
    var image = LogImage()
    let first = image.append(watermark: 100)
    let epoch = image.appendEpoch(base: 150, watermark: 150)
    let last = image.append(watermark: 150)
    let verdict = image.decide()
    #expect(verdict.kept.count == 3 && verdict.end.nextNumber == last.nextNumber)
    #expect(verdict.findings.count == 1)
    #expect(verdict.findings.first?.kind == .missing)
    #expect(verdict.findings.first?.position == epoch.range.lowerBound)
    #expect(verdict.findings.first?.first == 110 && verdict.findings.first?.next == 150)
    #expect(
      verdict.findings.first?.from
        == Timestamp(microseconds: Int64(first.range.lowerBound)))
  }

  @Test func `R6: an unproven frame behind a break stops the walk`() {
    var image = LogImage()
    let first = image.append(watermark: 100)
    let lost = image.append(watermark: 100)
    image.append(watermark: 100)
    image.erase(lost.range)
    let verdict = image.decide()
    #expect(verdict.kept.count == 1 && verdict.findings.isEmpty)
    #expect(verdict.end.position == first.range.upperBound)
  }

  @Test func `R6: an unproven frame whose chain does not hold stops the walk`() {
    var image = LogImage()
    image.append(watermark: 100)
    let stranger = image.append(watermark: 100, chain: 0xdead_beef)
    let verdict = image.decide()
    #expect(verdict.kept.count == 1 && verdict.cut == stranger.range)
  }

  @Test func `R7: a broken chain between proven contiguous frames loses nothing`() {
    var image = LogImage()
    image.append(watermark: 100)
    let second = image.append(watermark: 100, chain: 0xdead_beef)
    image.append(watermark: 120)
    let verdict = image.decide()
    #expect(verdict.kept.count == 3 && verdict.tail == .clean)
    #expect(verdict.findings.map(\.kind) == [.brokenChain])
    #expect(verdict.findings.first?.lostRecords == false)
    #expect(verdict.findings.first?.position == second.range.lowerBound)
  }

  @Test func `R8: numbers missing between adjoining proven frames are a finding`() {
    var image = LogImage()
    image.append(watermark: 100)
    image.append(watermark: 100, base: 130)
    image.append(watermark: 140)
    let verdict = image.decide()
    #expect(verdict.kept.count == 3 && verdict.end.nextNumber == 150)
    #expect(verdict.findings.map(\.kind) == [.missing])
    #expect(verdict.findings.first?.first == 110 && verdict.findings.first?.next == 130)
  }

  @Test func `R9: damage below the watermark becomes a gap and reading goes on behind it`() {
    var image = LogImage()
    image.append(watermark: 100)
    let damaged = image.append(watermark: 110)
    image.append(watermark: 110)
    image.append(watermark: 130)
    image.flipHeaderBit(of: damaged)
    let verdict = image.decide()
    #expect(verdict.kept.count == 3 && verdict.end.nextNumber == 140)
    #expect(verdict.findings.map(\.kind) == [.damaged])
    #expect(verdict.findings.first?.position == damaged.range.lowerBound)
    #expect(verdict.findings.first?.first == 110 && verdict.findings.first?.next == 120)
    #expect(verdict.cut.isEmpty && verdict.tail == .clean)
  }

  @Test func `R9: a destroyed frame without records is a finding that loses nothing`() {
    var image = LogImage()
    image.append(watermark: 100)
    let mark = image.appendMark(watermark: 110)
    image.append(watermark: 110)
    image.erase(mark.range)
    let verdict = image.decide(evidence: 120)
    #expect(verdict.kept.count == 2 && verdict.tail == .clean)
    #expect(verdict.findings.map(\.kind) == [.damaged])
    #expect(verdict.findings.first?.lostRecords == false)
  }

  @Test func `R10: a frame that testifies to everything before it stays behind a break`() {
    var image = LogImage()
    image.append(watermark: 100)
    let damaged = image.append(watermark: 110)
    let witness = image.append(watermark: 120)
    image.erase(damaged.range)
    let verdict = image.decide()
    #expect(verdict.kept.map(\.position).last == witness.range.lowerBound)
    #expect(verdict.findings.map(\.kind) == [.damaged])
    #expect(verdict.findings.first?.first == 110 && verdict.findings.first?.next == 120)
    #expect(verdict.end.nextNumber == 130 && verdict.tail == .clean)
  }

  @Test func `R10: a mark alone proves what stood before it`() {
    var image = LogImage()
    image.append(watermark: 100)
    let damaged = image.append(watermark: 100)
    image.appendMark(watermark: 120)
    image.erase(damaged.range)
    let verdict = image.decide()
    #expect(verdict.end.nextNumber == 120 && verdict.tail == .clean)
    #expect(verdict.findings.first?.first == 110 && verdict.findings.first?.next == 120)
  }

  @Test func `R11: an unproven frame whose body is damaged stops the walk`() {
    var image = LogImage()
    let first = image.append(watermark: 100)
    let last = image.append(watermark: 110)
    image.flipBodyBit(of: last)
    let verdict = image.decide()
    #expect(verdict.kept.count == 1 && verdict.end.position == first.range.upperBound)
    #expect(verdict.cut.lowerBound == last.range.lowerBound && verdict.findings.isEmpty)
  }

  @Test func `R11: a gap before a frame that goes is the tail's and no finding`() {
    var image = LogImage()
    image.append(watermark: 100)
    let lost = image.append(watermark: 110)
    let witness = image.append(watermark: 120)
    image.erase(lost.range)
    image.flipBodyBit(of: witness)
    let verdict = image.decide()
    #expect(verdict.findings.isEmpty && verdict.kept.count == 1)
    #expect(verdict.tail == .lostSuffix && verdict.lostSuffix == 110..<120)
    #expect(verdict.possiblyAcknowledged == 120..<130)
  }

  @Test func `R12: a proven frame whose body is damaged stays and is a finding`() {
    var image = LogImage()
    image.append(watermark: 100)
    let damaged = image.append(watermark: 110)
    image.append(watermark: 120)
    image.flipBodyBit(of: damaged)
    let quick = image.decide()
    #expect(quick.kept.count == 3 && quick.findings.isEmpty)
    let thorough = image.decide(checksEverything: true)
    #expect(thorough.kept.count == 3 && thorough.end == quick.end)
    #expect(thorough.findings.map(\.kind) == [.damaged])
    #expect(thorough.findings.first?.position == damaged.range.lowerBound)
    #expect(thorough.findings.first?.first == 110 && thorough.findings.first?.next == 120)
  }
}
