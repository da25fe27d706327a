import CommitLog
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import Testing

/// Enqueue times never step back within a partition, whatever the clock does; and a gap's times
/// are those of the events that are gone.
@Suite struct TimeTests {
  private static let hour: Int64 = 3_600_000_000

  /// The enqueue times of a partition's events, by their numbers.
  private func times(_ store: TestStore) throws -> [UInt64: Timestamp] {
    var times: [UInt64: Timestamp] = [:]
    let cursor = store.cursor()
    let decompressor = BatchDecompressor()
    while let item = try cursor.read() {
      guard case .batch(let stored, _) = item else { continue }
      let batch = try stored.decode(with: decompressor)
      for index in 0..<batch.count {
        times[batch.baseOffset + UInt64(index)] = batch.time(at: index)
      }
    }
    return times
  }

  @Test("A clock that steps back moves no event back, also across openings, rolls and losses")
  func monotonic() throws {
    var fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem)
    let clock = TestClock()
    var latest = Timestamp(microseconds: .min)
    var serial: UInt64 = 0
    for round in 0..<12 as Range<UInt64> {
      let store = try TestStore.open(
        on: fileSystem, segmentSize: 2_048, clock: clock, seed: round + 2)
      #expect((store.partition.lastTime ?? latest) >= latest)
      for _ in 0..<3 {
        try store.append(serial..<serial + 2)
        serial += 2
        clock.step(by: -Self.hour)
      }
      latest = try #require(store.partition.lastTime)
      switch round % 3 {
      case 0: try store.log.close()
      case 1: fileSystem = StoreImage(fileSystem).memory()
      default:
        // The end of the active segment is gone: time goes on behind what is left.
        var image = StoreImage(fileSystem)
        var segment = try image.segment()
        segment.truncate(to: segment.frames.last?.position ?? FileHeader.size)
        image.put(segment)
        fileSystem = image.memory()
        serial = try TestStore.open(on: image.memory(), seed: 99).partition.nextNumber
        latest = Timestamp(microseconds: .min)
      }
    }
    let store = try TestStore.open(on: fileSystem, clock: clock, seed: 90)
    let times = try times(store)
    #expect(times.count == Int(serial))
    let ordered = times.sorted { $0.key < $1.key }.map(\.value)
    #expect(ordered == ordered.sorted())
  }

  @Test(
    "Once everything has been retired, a clock that stepped back still moves no event back",
    arguments: [nil, FileHeader.Stream.journal])
  func everythingRetired(_ stream: FileHeader.Stream?) throws {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem)
    let clock = TestClock()
    var latest = Timestamp(microseconds: .min)
    // Rolls of segments with records, then of one without any.
    for round in 0..<4 as Range<UInt64> {
      let store = try TestStore.open(on: fileSystem, clock: clock, seed: round + 2)
      let log = try stream.map { try store.log.log($0) } ?? store.partition
      #expect((log.lastTime ?? latest) >= latest)
      if round < 3 {
        try store.append(round * 2..<round * 2 + 2, to: log)
        latest = try #require(log.lastTime)
      }
      try log.sealActive()
      _ = try store.log.retire(log, below: log.nextNumber)
      #expect(log.snapshot.startNumber == log.nextNumber)
      #expect(log.lastTime == latest)
      if round % 2 == 0 { try store.log.close() }
      clock.step(by: -Self.hour)
    }
    let store = try TestStore.open(on: fileSystem, clock: clock, seed: 90)
    let log = try stream.map { try store.log.log($0) } ?? store.partition
    #expect(log.lastTime == latest)
    try store.append(100..<101, to: log)
    #expect(try #require(log.lastTime) >= latest)
  }

  /// A damaged length of time pushed every later event into the far future.
  @Test("A damaged batch at the end does not set the partition's clock")
  func damagedTimeSpan() throws {
    var image = try StoreImage.killed([.write(0..<3), .sync, .write(3..<6), .sync, .mark])
    let original = try image.segment()
    for byte in 16..<24 {
      var segment = original
      segment.flipBit(at: segment.frames[2].clearRange.lowerBound + byte)
      image.put(segment)
      let store = try TestStore.open(on: image.memory(), seed: 3)
      let last = try #require(store.partition.lastTime)
      #expect(last >= segment.frames[2].header.baseTime)
      #expect(last.microseconds < TestClock.start + Self.hour)
    }
  }

  @Test("A gap's times enclose the events that are gone, and its devices are theirs")
  func gapTimes() throws {
    var image = try StoreImage.killed([
      .write(0..<3), .sync, .write(3..<6), .sync, .write(6..<9), .sync, .mark,
    ])
    let truth = try times(try TestStore.open(on: image.memory()))
    let original = try image.segment()
    let frames = original.frames
    // Header, clear section, body; the whole frame.
    let damages: [(range: Range<Int>, knowsDevices: Bool)] = [
      (frames[2].position..<frames[2].position + 8, false),
      (frames[2].clearRange.lowerBound..<frames[2].clearRange.lowerBound + 8, false),
      (frames[2].bodyRange.lowerBound..<frames[2].bodyRange.lowerBound + 8, true),
      (frames[2].position..<frames[2].end, false),
    ]
    for damage in damages {
      var segment = original
      segment.garble(damage.range)
      image.put(segment)
      let contents = try TestStore.open(on: image.memory(), seed: 3).read()
      let gap = try #require(contents.gaps.first)
      #expect(contents.gaps.count == 1 && gap.first == 3 && gap.next == 6)
      let times = try #require(gap.times, "\(damage)")
      for number in 3..<6 as Range<UInt64> {
        #expect(times.contains(try #require(truth[number])), "\(damage)")
      }
      #expect(times.upperBound <= frames[3].header.baseTime)
      let devices = Set((3..<6).map { SimulatedEvents.device($0) })
      #expect(gap.devices.map { Set($0) } == (damage.knowsDevices ? devices : nil))
    }
  }

  @Test("A time that lost events may be behind is found at their gap, any other past it")
  func searchAtGap() throws {
    var image = try StoreImage.killed([
      .write(0..<3), .sync, .write(3..<6), .sync, .write(6..<9), .sync, .mark,
    ])
    let truth = try times(try TestStore.open(on: image.memory()))
    let original = try image.segment()
    var segment = original
    segment.garble(original.frames[2].bodyRange)
    image.put(segment)
    let fileSystem = image.memory()
    let store = try TestStore.open(on: fileSystem, seed: 3)
    for time in truth.values.flatMap({ [$0, $0.advanced(by: .microseconds(1))] }) {
      let place = try TimeSearch.find(
        atOrAfter: time, in: store.partition.snapshot, mappings: store.log.mappings,
        fileSystem: fileSystem)
      let first = (0..<9).first { truth[$0].map { $0 >= time } ?? false } ?? 9
      // What is gone may have been as late as the first event behind it.
      #expect(place.start == ((3...6).contains(first) ? 3 : first))
      #expect(place.number == ((3..<6).contains(first) ? 6 : first))
    }
  }

  @Test("A lost suffix has times from the last event that is left, also in a segment without any")
  func lostSuffixTimes() throws {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem)
    let store = try TestStore.open(on: fileSystem, segmentSize: 1_024)
    var serial: UInt64 = 0
    while store.partition.snapshot.segments.count < 2 {
      try store.append(serial..<serial + 2)
      serial += 2
    }
    let last = try #require(store.partition.snapshot.segments[0].summary?.lastTime)
    var image = StoreImage(fileSystem)
    var segment = try image.segment()
    segment.truncate(to: FileHeader.size)
    image.put(segment)
    // A clock that stepped back makes no range that ends before it begins.
    for step in [0, -Self.hour] {
      let clock = TestClock()
      clock.step(by: step)
      let again = try TestStore.open(
        on: image.memory(), evidence: [0: serial], clock: clock, seed: 3)
      let gap = try #require(try again.read().gaps.first)
      #expect(gap.reason == .lostSuffix && gap.next.value == serial)
      #expect(gap.times?.lowerBound == last)
    }
  }
}
