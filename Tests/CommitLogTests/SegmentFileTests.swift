import CommitLog
import EventModel
import LogFormat
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// Files that are missing, that do not belong, or that a later program wrote.
@Suite struct SegmentFileTests {
  private func rolled(_ segmentCount: Int = 3) throws -> (StoreImage, UInt64) {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem)
    let store = try TestStore.open(on: fileSystem, segmentSize: 2_048)
    var serial: UInt64 = 0
    while store.partition.snapshot.segments.count < segmentCount {
      try store.append(serial..<serial + 2)
      serial += 2
    }
    return (StoreImage(fileSystem), serial)
  }

  /// The store did not open at all, and the other partitions with it.
  @Test("A partition whose active segment is gone shows the rest and takes nothing")
  func missingActive() throws {
    var (image, count) = try rolled()
    let path = try image.segment().path
    let manifest = try image.manifest()
    let base = try #require(manifest.state.logs.values.first?.last?.added.baseNumber)
    image.files[path] = nil
    let fileSystem = image.memory()
    let store = try TestStore.open(on: fileSystem)
    #expect(store.partition.isLost && !store.partition.report.isClean)
    let file = try #require(store.partition.snapshot.segments.last?.activeFile)
    #expect(try file.size() == .zero && file.allocatedSize() == .zero)
    #expect(throws: IOFailure.self) { try file.write([1].span.bytes, at: .start) }
    #expect(throws: IOFailure.self) { try file.reserve(ByteCount(1)) }
    #expect(throws: IOFailure.self) { try file.truncate(to: .zero) }
    #expect(throws: IOFailure.self) { try file.map(.zero) }
    #expect(throws: CommitLogFailure.missingFile(path)) { try store.append(count..<count + 1) }
    #expect(try store.read().serials == Array(0..<base))
    try store.log.close()
    #expect(fileSystem.image[path] == nil)
    let follower = try LogFollower.open(
      at: TestStore.root, environment: TestStore.environment(fileSystem, seed: 9)
    ) { (_) throws(CommitLogFailure) in [0: count] }
    #expect(follower.report(of: 0).isLost)
    #expect(follower.snapshot(of: 0).highWatermark == count)
    let cursor = BatchCursor(
      from: 0, mappings: follower.mappings, fileSystem: fileSystem
    ) { follower.snapshot(of: 0) }
    let contents = try PartitionContents(cursor)
    #expect(contents.serials == Array(0..<base))
    #expect(contents.gaps.map { $0.first.value..<$0.next.value } == [base..<count])
  }

  @Test("A missing sealed segment is a gap with its numbers and times, and reading goes on")
  func missingSealed() throws {
    var (image, count) = try rolled()
    let segments = try image.manifest().state.logs.values.joined().map(\.self)
    let lost = segments[1].added.baseNumber..<segments[2].added.baseNumber
    let summary = try #require(segments[1].summary)
    image.files[try image.segment(1).path] = nil
    let store = try TestStore.open(on: image.memory())
    let contents = try store.read()
    #expect(contents.serials == (0..<count).filter { !lost.contains($0) })
    let gap = try #require(contents.gaps.first)
    #expect(contents.gaps.count == 1 && gap.reason == .missingSegment)
    #expect(gap.first.value == lost.lowerBound && gap.next.value == lost.upperBound)
    #expect(gap.times?.upperBound == summary.lastTime)
    #expect(gap.times?.contains(summary.firstTime) == true)
  }

  @Test("A cursor that decodes at once reads what others read, from any number on")
  func decodingAtOnce() throws {
    let (image, count) = try rolled()
    let store = try TestStore.open(on: image.memory())
    for number in 0..<count {
      let cursor = BatchCursor(
        from: number, mappings: store.log.mappings, fileSystem: store.log.context.fileSystem,
        readsFew: true
      ) { store.partition.snapshot }
      let contents = try PartitionContents(cursor)
      #expect(contents.serials == Array(number..<count) && contents.gaps.isEmpty)
    }
  }

  @Test("A lost file header costs no event: the manifest has it too", arguments: [false, true])
  func lostHeader(_ isErased: Bool) throws {
    var image = try StoreImage.killed([.write(0..<3), .sync, .write(3..<6)])
    var segment = try image.segment()
    if isErased { segment.erase(0..<FileHeader.size) } else { segment.flipBit(at: 60) }
    image.put(segment)
    let fileSystem = image.memory()
    let store = try TestStore.open(on: fileSystem)
    #expect(store.partition.report.lostHeader)
    #expect(store.partition.snapshot.segments.count == 2)
    try store.append(6..<8)
    #expect(try store.read().serials == Array(0..<8))
    // The damaged file is left as it is.
    #expect(StoreImage(fileSystem).files[segment.path] == segment.bytes)
    let again = try TestStore.open(on: StoreImage(fileSystem).memory(), seed: 3)
    #expect(again.partition.report.isClean)
    #expect(try again.read().serials == Array(0..<8))
  }

  @Test("Segment files that the manifest does not name are no part of the store")
  func foreign() throws {
    var (image, count) = try rolled()
    let own = try image.segment(0)
    let folder = own.path.removingLastComponent()
    let stale = folder.appending(FileNames.segmentStem(baseNumber: 0, segmentID: 77) + ".segment")
    image.files[stale] = own.bytes
    let index = folder.appending(FileNames.segmentStem(baseNumber: 0, segmentID: 77) + ".index")
    image.files[index] = [1, 2, 3]
    let other = folder.appending("notes.txt")
    image.files[other] = [4]
    let fileSystem = image.memory()
    let store = try TestStore.open(on: fileSystem, segmentSize: 2_048)
    #expect(store.partition.report.isClean)
    try store.append(count..<count + 2)
    #expect(try store.read().serials == Array(0..<count + 2))
    let after = StoreImage(fileSystem)
    #expect(Array(after.quarantine.values) == [own.bytes])
    #expect(after.files[stale] == nil && after.files[index] == nil && after.files[other] == [4])
  }

  /// No writer leaves such a manifest; a segment that was begun for it could give numbers again.
  @Test("A manifest that names no active segment of a partition is corrupt, and nothing is changed")
  func noActive() throws {
    for partition in 0..<2 {
      let fileSystem = MemoryFileSystem()
      try TestStore.create(on: fileSystem, partitionCount: 2)
      let store = try TestStore.open(on: fileSystem)
      try store.append(0..<3)
      let frame = try #require(try StoreImage(fileSystem).segment().frames.last)
      var summary = SegmentSummary(
        endPosition: UInt64(frame.end), nextNumber: 3, chain: frame.checksum,
        epoch: frame.header.epoch)
      summary.recordCount = 3
      let log = store.log.partitions[partition]
      let id = try #require(log.snapshot.segments.last).added.segmentID
      // The only one of the first is sealed, that of the second is not named.
      try store.log.manifest.append([
        partition == 0
          ? .segmentSealed(.init(segmentID: id, summary: summary))
          : .segmentRetired(segmentID: id)
      ])
      let image = StoreImage(fileSystem)
      let disk = image.memory()
      let failure = CommitLogFailure.format(
        TestStore.root.appending(FileNames.manifest), position: 0,
        .corrupt("the manifest names no active segment for \(log.id.text)"))
      #expect(throws: failure) { try TestStore.open(on: disk, seed: 3) }
      #expect(throws: failure) {
        try LogFollower.open(
          at: TestStore.root, environment: TestStore.environment(disk, seed: 9)
        ) { (_) throws(CommitLogFailure) in [:] }
      }
      #expect(StoreImage(disk).withoutLock.files == image.withoutLock.files)
    }
  }

  /// What a header says besides what this program knows.
  enum Later: CaseIterable, Sendable {
    case version, incompatible, readOnly, compatible
  }

  /// The file as such a program would have written it: its first frame chains from its header.
  private func rewrite(_ file: SegmentImage, _ later: Later) -> [UInt8] {
    var file = file
    var header = ByteBuffer(capacity: FileHeader.size)
    header.append(Array(file.bytes[..<FileHeader.size]))
    switch later {
    case .version: header.store(FileHeader.version + 1, at: 8)
    case .incompatible: header.store(UInt32(1), at: 12)
    case .readOnly: header.store(UInt32(2), at: 16)
    case .compatible: header.store(UInt32(4), at: 20)
    }
    var chain = header.withBytes(0..<FileHeader.size - 4) { CRC32C.checksum($0) }
    header.store(chain, at: FileHeader.size - 4)
    file.bytes = header.array(0..<FileHeader.size)
    for frame in file.frames { chain = file.append(frame, chain: chain).checksum }
    return file.bytes
  }

  private func expectedError(_ later: Later) -> FormatError? {
    switch later {
    case .version:
      .unsupportedVersion(found: FileHeader.version + 1, newest: FileHeader.version)
    case .incompatible: .unsupportedFeatures(1)
    case .readOnly: .unsupportedFeatures(2)
    case .compatible: nil
    }
  }

  /// Flags that may be ignored made a segment look as if its header was lost.
  @Test("A later program's files are unsupported and never damaged", arguments: Later.allCases)
  func later(_ later: Later) throws {
    let original = try StoreImage.killed([.write(0..<3), .sync])
    for file in [try original.segment(), try original.manifestFile()] {
      var image = original
      image.files[file.path] = rewrite(file, later)
      let fileSystem = image.memory()
      guard let error = expectedError(later) else {
        let store = try TestStore.open(on: fileSystem)
        #expect(store.partition.report.isClean)
        #expect(try store.read().serials == [0, 1, 2])
        continue
      }
      #expect(throws: CommitLogFailure.format(file.path, position: 0, error)) {
        try TestStore.open(on: fileSystem)
      }
      #expect(StoreImage(fileSystem).withoutLock.files == image.withoutLock.files)
      guard later == .readOnly else { continue }
      let follower = try LogFollower.open(
        at: TestStore.root, environment: TestStore.environment(fileSystem, seed: 9)
      ) { (_) throws(CommitLogFailure) in [:] }
      #expect(follower.snapshot(of: 0).highWatermark == 3)
    }
  }

  @Test("A frame of an unknown kind is passed over if it may be, and stops writers if not")
  func unknownFrames() throws {
    var image = try StoreImage.killed([.write(0..<3), .sync, .mark, .write(3..<6), .sync])
    let original = try image.segment()
    for type in [4, 127, 128, 255] as [UInt8] {
      var segment = original
      let frames = segment.frames
      segment.truncate(to: frames[2].end)
      let unknown = segment.append(frames[3], chain: frames[2].checksum, type: type)
      let last = segment.append(
        frames[3], base: 6, chain: unknown.checksum, watermark: 6)
      _ = segment.append(frames[2], base: 9, chain: last.checksum, watermark: 9)
      image.put(segment)
      let fileSystem = image.memory()
      if type < FrameHeader.FrameType.ignorable {
        #expect(
          throws: CommitLogFailure.format(
            segment.path, position: unknown.position, .unsupportedFeatures(UInt32(type)))
        ) { try TestStore.open(on: fileSystem) }
        #expect(StoreImage(fileSystem).files[segment.path] == segment.bytes)
      } else {
        let store = try TestStore.open(on: fileSystem)
        try store.append([100])
        let contents = try store.read()
        #expect(contents.serials == [0, 1, 2, 3, 4, 5, 100] && contents.gaps.isEmpty)
        #expect(store.partition.highWatermark == 10)
      }
    }
  }

  /// It was sealed like that: no reason to doubt what follows.
  @Test("A batch that is sound and makes no sense is told where it is decoded, and nothing else is")
  func senselessSizes() throws {
    var image = try StoreImage.killed([
      .write(0..<3), .sync, .write(3..<6), .sync, .write(6..<9), .sync, .mark,
    ])
    let original = try image.segment()
    let batches = original.frames.filter { $0.header.recordCount > 0 }
    let victim = batches[1]
    var bytes = original.bytes
    // More of a block is stored than there is of it.
    for index in 0..<4 { bytes[victim.clearRange.lowerBound + index] = 0 }
    var segment = try SegmentImage(path: original.path, bytes: bytes, identity: original.identity)
    segment.truncate(to: victim.position)
    var chain = victim.header.chain
    for frame in original.frames where frame.position >= victim.position {
      chain = segment.append(frame, chain: chain).checksum
    }
    image.put(segment)
    let store = try TestStore.open(on: image.memory(), seed: 3)
    #expect(store.partition.report.isClean && store.partition.highWatermark == 9)
    let contents = try store.read()
    #expect(contents.serials == [0, 1, 2, 6, 7, 8])
    #expect(contents.wrong == 3 && contents.gaps.isEmpty)
    try store.append(9..<10)
    #expect(try store.read().serials == [0, 1, 2, 6, 7, 8, 9])
  }

  @Test("A second writer is refused and told who the first is; the lock goes with the first")
  func secondWriter() throws {
    let fileSystem = MemoryFileSystem()
    try TestStore.create(on: fileSystem)
    var first: TestStore? = try TestStore.open(on: fileSystem)
    try first?.append(0..<2)
    do throws(CommitLogFailure) {
      _ = try TestStore.open(on: fileSystem)
      Issue.record("two writers")
    } catch {
      guard case .locked(let path, let holder) = error else {
        Issue.record("\(error)")
        return
      }
      #expect(path == TestStore.root && holder.processID != nil)
    }
    first = nil
    #expect(try TestStore.open(on: fileSystem, seed: 3).read().serials == [0, 1])
  }
}
