import BlockCompression
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import SystemPackage
import Testing

import CommitLog

private typealias Device = EventModel.DeviceID

/// The footers of sealed segments: what they say, and that nothing rests on them (I6).
@Suite("Footers")
struct FooterTests {
  private static let devices = (0..<12).map { Device(stringLiteral: "device-\($0 * 37)") }

  /// One sealed segment of many batches that each hold a few of the devices.
  private struct Sealed {
    let disk = MemoryFileSystem()
    let store: SimulatedStore
    /// The device of every event, by its number.
    private(set) var senders: [Device] = []

    var partition: PartitionLog { store.log.partitions[0] }
    var segment: SegmentHandle { partition.snapshot.segments[0] }

    init(batchCount: Int, seed: UInt64) throws {
      try SimulatedStore.create(on: disk, partitionCount: 1, seed: seed)
      store = try SimulatedStore.open(on: disk, segmentSize: 1 << 20, seed: seed)
      var random = SeededRandom(seed: seed)
      for batch in 0..<batchCount {
        let encoder = BatchEncoder(targetSize: 4 << 10)
        for event in 0..<Int.random(in: 1...5, using: &random) {
          let device = FooterTests.devices[
            Int.random(in: 0..<FooterTests.devices.count, using: &random)]
          senders.append(device)
          let body = Array("event \(event) of batch \(batch)".utf8)
          encoder.append(
            from: device, body: body.span.bytes, properties: .empty,
            at: Int64(batch) * 10 + Int64(event))
        }
        _ = try store.log.partitions[0].write(encoder)
      }
      try store.log.partitions[0].sealActive()
    }

    func writeFooter() throws -> Bool { try partition.writeMissingFooter(store.log.mappings) }

    /// The numbers that a reader of one device gets.
    func numbers(of device: Device, _ log: LogFollower? = nil) throws -> [Int] {
      let snapshot = log?.snapshot(of: 0) ?? partition.snapshot
      let cursor = BatchCursor(
        from: 0, of: DeviceFilter([device]), mappings: log?.mappings ?? store.log.mappings,
        fileSystem: disk
      ) { snapshot }
      let decompressor = BatchDecompressor()
      var numbers: [Int] = []
      while let item = try cursor.read() {
        guard case .batch(let stored, let first) = item else { continue }
        let batch = try stored.decode(with: decompressor)
        numbers += batch.indexes(of: DeviceFilter([device]), in: first..<batch.count)
          .map { Int(batch.baseOffset) + $0 }
      }
      return numbers
    }

    func expectedNumbers(of device: Device) -> [Int] {
      senders.indices.filter { senders[$0] == device }
    }
  }

  @Test("A footer names every batch, each device's batches and its last event")
  func contents() throws {
    let sealed = try Sealed(batchCount: 200, seed: 3)
    #expect(try sealed.writeFooter())
    #expect(try !sealed.writeFooter(), "one segment has one footer")
    let view = try #require(sealed.store.log.mappings.footer(of: sealed.segment))
    #expect(view.batchCount == 200)
    #expect(!view.footer.hasHoles)
    var next: UInt64 = 0
    for place in 0..<view.batchCount {
      let batch = try #require(view.batch(at: place))
      #expect(batch.baseNumber == next)
      next = batch.nextNumber
    }
    #expect(next == UInt64(sealed.senders.count))
    for device in Self.devices {
      let answer = try #require(view.device(device))
      let known = try #require(answer)
      let numbers = sealed.expectedNumbers(of: device)
      #expect(known.lastNumber == numbers.last.map(UInt64.init))
      let postings = try #require(view.postings(of: known))
      let places = numbers.map { number in
        view.firstBatch { $0.nextNumber > UInt64(number) }
      }
      #expect(Set(postings) == Set(places))
      #expect(postings == postings.sorted())
    }
    #expect(view.device("device-99") == .some(nil))
    #expect(try sealed.disk.kind(of: sealed.segment.indexPath) == nil, "the index has served")
  }

  @Test("Readers of a device get the same with a footer as without")
  func sameEvents() throws {
    let sealed = try Sealed(batchCount: 300, seed: 4)
    for device in Self.devices {
      #expect(try sealed.numbers(of: device) == sealed.expectedNumbers(of: device))
    }
    #expect(try sealed.writeFooter())
    for device in Self.devices {
      #expect(try sealed.numbers(of: device) == sealed.expectedNumbers(of: device))
      let last = try LastEvent.find(
        of: device, in: sealed.partition.snapshot, mappings: sealed.store.log.mappings,
        fileSystem: sealed.disk)
      #expect(
        last.map { Int($0.batch.baseOffset) + $0.index }
          == sealed.expectedNumbers(of: device).last)
    }
  }

  @Test("A footer with any byte wrong, or cut anywhere, is not believed and made again")
  func damage() throws {
    let sealed = try Sealed(batchCount: 6, seed: 5)
    #expect(try sealed.writeFooter())
    let path = sealed.segment.footerPath
    let good = try bytes(path, sealed.disk)
    let context = sealed.store.log.context
    let summary = try #require(sealed.segment.summary)
    var states: [[UInt8]] = (0..<good.count).map { place in
      var copy = good
      copy[place] ^= 0x10
      return copy
    }
    states += (0..<good.count).map { Array(good.prefix($0)) }
    for (number, state) in states.enumerated() {
      try replace(path, state, sealed.disk)
      let handle = SegmentHandle(sealed.segment.added, summary: summary, context: context)
      #expect(MappingCache(sealed.disk).footer(of: handle) == nil, "state \(number)")
      #expect(handle.footer.isAbsent, "state \(number)")
    }
    sealed.segment.footer.noteWritten()
    for device in Self.devices {
      #expect(try sealed.numbers(of: device) == sealed.expectedNumbers(of: device))
    }
    try replace(path, Array(good.prefix(good.count / 2)), sealed.disk)
    sealed.segment.footer.noteAbsent()
    #expect(try sealed.writeFooter())
    #expect(try bytes(path, sealed.disk) == good)
  }

  @Test("Damage in a segment stays visible to readers of a device")
  func holes() throws {
    let sealed = try Sealed(batchCount: 40, seed: 6)
    let segment = sealed.segment
    let path = segment.path
    var damaged = try bytes(path, sealed.disk)
    // The header of a batch in the middle, before the footer is made.
    let place = try #require(
      stride(from: damaged.count / 2 / 64 * 64, to: damaged.count, by: 64).first {
        damaged[$0..<$0 + 4].elementsEqual([0x4d, 0x52, 0x46, 0x31])
      })
    damaged[place + 20] ^= 1
    try replace(path, damaged, sealed.disk)
    let follower = try LogFollower.open(
      at: SimulatedStore.root, environment: SimulatedStore.environment(sealed.disk, seed: 1)
    ) { _ in [:] }
    let handle = follower.snapshot(of: 0).segments[0]
    #expect(
      try FooterWriter.write(handle, mappings: follower.mappings, context: follower.context))
    let view = try #require(follower.mappings.footer(of: handle))
    #expect(view.footer.hasHoles)
    let snapshot = follower.snapshot(of: 0)
    let cursor = BatchCursor(
      from: 0, of: DeviceFilter(["nobody"]), mappings: follower.mappings, fileSystem: sealed.disk
    ) { snapshot }
    var gaps: [Gap] = []
    while let item = try cursor.read() {
      if case .gap(let gap) = item { gaps.append(gap) }
    }
    #expect(gaps.count == 1)
  }

  /// Whoever believed the footer gave an older event for good.
  @Test("The last event is found in a batch that was damaged only when the footer was made")
  func healedHoles() throws {
    let sealed = try Sealed(batchCount: 40, seed: 6)
    let path = sealed.segment.path
    let good = try bytes(path, sealed.disk)
    var damaged = good
    for place in stride(from: good.count / 2 / 64 * 64, to: good.count, by: 64)
    where FrameHeader.bearsMagic(good.span.bytes, at: place) {
      damaged[place + FrameHeader.size + 2] ^= 1
    }
    for (state, writes) in [(damaged, true), (good, false)] {
      try replace(path, state, sealed.disk)
      let follower = try LogFollower.open(
        at: SimulatedStore.root, environment: SimulatedStore.environment(sealed.disk, seed: 1)
      ) { _ in [:] }
      let snapshot = follower.snapshot(of: 0)
      if writes {
        #expect(
          try FooterWriter.write(
            snapshot.segments[0], mappings: follower.mappings, context: follower.context))
        continue
      }
      #expect(follower.mappings.footer(of: snapshot.segments[0])?.footer.hasHoles == true)
      for device in Self.devices {
        let last = try LastEvent.find(
          of: device, in: snapshot, mappings: follower.mappings, fileSystem: sealed.disk)
        #expect(
          last.map { Int($0.batch.baseOffset) + $0.index }
            == sealed.expectedNumbers(of: device).last)
      }
    }
  }

  /// Computes a footer's checksums anew, as the program that made it would.
  private func reseal(_ file: inout [UInt8], _ identity: FrameIdentity) {
    let start = SegmentFooter.position.bytes
    let contents = Array(file[(start + SegmentFooter.size)...])
    let sum = CRC32C.checksum(
      contents.span.bytes, seed: SegmentFooter.contentsSeed(identity))
    store(sum, at: start + 56, in: &file)
    let head = Array(file[start..<start + 60])
    store(
      CRC32C.checksum(head.span.bytes, seed: identity.seed(at: SegmentFooter.position)),
      at: start + 60, in: &file)
  }

  private func store<Integer: FixedWidthInteger>(
    _ value: Integer, at place: Int, in file: inout [UInt8]
  ) {
    for byte in 0..<Integer.bitWidth / 8 {
      file[place + byte] = UInt8(truncatingIfNeeded: value >> Integer(8 * byte))
    }
  }

  private func follow(_ sealed: Sealed) throws -> LogFollower {
    try LogFollower.open(
      at: SimulatedStore.root, environment: SimulatedStore.environment(sealed.disk, seed: 1)
    ) { _ in [:] }
  }

  @Test(
    "Where a footer names what is no place for a batch, the segment itself is read",
    arguments: [0, 64, 200, 1 << 41, 1 << 63 - 64, 1 << 63, .max] as [UInt64])
  func impossiblePlaces(_ place: UInt64) throws {
    let sealed = try Sealed(batchCount: 40, seed: 7)
    #expect(try sealed.writeFooter())
    var file = try bytes(sealed.segment.footerPath, sealed.disk)
    for batch in 0..<40 {
      store(place, at: 192 + batch * FooterBatch.size, in: &file)
    }
    reseal(&file, sealed.segment.identity)
    try replace(sealed.segment.footerPath, file, sealed.disk)
    let follower = try follow(sealed)
    let handle = follower.snapshot(of: 0).segments[0]
    #expect(follower.mappings.footer(of: handle) != nil, "its checksums hold")
    for device in Self.devices {
      #expect(try sealed.numbers(of: device, follower) == sealed.expectedNumbers(of: device))
    }
  }

  @Test(
    "A segment that ends at the last place there is, and whose file does not, is read in a moment",
    .timeLimit(.minutes(1)))
  func farEnd() throws {
    let sealed = try Sealed(batchCount: 40, seed: 8)
    let segment = sealed.segment
    var summary = try #require(segment.summary)
    let half = try bytes(segment.path, sealed.disk).prefix(Int(summary.endPosition) / 2)
    summary.endPosition = Limits.framePositionMax
    try sealed.store.log.manifest.append([
      .segmentSealed(.init(segmentID: segment.added.segmentID, summary: summary))
    ])
    try replace(segment.path, Array(half), sealed.disk)
    let follower = try follow(sealed)
    let handle = follower.snapshot(of: 0).segments[0]
    for device in Self.devices {
      let (numbers, all) = (
        try sealed.numbers(of: device, follower), sealed.expectedNumbers(of: device)
      )
      #expect(all.starts(with: numbers))
    }
    #expect(
      try FooterWriter.write(handle, mappings: follower.mappings, context: follower.context))
    #expect(try #require(follower.mappings.footer(of: handle)).footer.hasHoles)
  }

  private func bytes(_ path: FilePath, _ disk: MemoryFileSystem) throws -> [UInt8] {
    let file = try disk.open(path, .readOnly)
    var buffer = ByteBuffer(capacity: 4 << 10)
    let size = try file.size().bytes
    guard try StoredFrames(file, size: size).append(0..<size, to: &buffer) else { return [] }
    return buffer.array(0..<buffer.count)
  }

  private func replace(
    _ path: FilePath, _ bytes: [UInt8], _ disk: MemoryFileSystem
  ) throws {
    try disk.remove(path)
    try disk.open(path, .create).write(bytes.span.bytes, at: .start)
  }
}
