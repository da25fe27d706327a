import EventModel
import LogFormat
import LogInspection
import Millrace
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// What salvage finds is what the engine wrote, whatever is left around it.
@Suite("Salvage")
struct SalvageTests {
  @Test("A whole store gives what the engine reads, and leaves what is of its queues")
  func wholeStore() async throws {
    let store = try await SalvagedStore.write()
    let found = try SalvagedStore.salvage(store.files)
    #expect(found.holds(store.events))
    #expect(found.salvage.partitionCount == 3)
    #expect(found.reading.duplicates == 0)
    #expect(found.salvage.counts.damaged == 0)
    #expect(found.salvage.counts.left > 0)
    #expect(found.salvage.counts.files == store.files.count)
    #expect(found.salvage.counts.bytes == store.files.values.map(\.count).reduce(0, +))
  }

  @Test("Without any file header and manifest every event is found, and nothing of the queues")
  func withoutHeaders() async throws {
    let store = try await SalvagedStore.write()
    var files = store.files
    files[SalvagedStore.root.appending(FileNames.manifest)] = nil
    for (path, bytes) in files where bytes.count >= FileHeader.size {
      files[path] = [UInt8](repeating: 0, count: FileHeader.size) + bytes[FileHeader.size...]
    }
    let found = try SalvagedStore.salvage(files)
    #expect(found.holds(store.events))
    #expect(found.salvage.partitionCount == nil)
    #expect(found.salvage.counts.left > 0)
  }

  @Test("A manifest tells of a segment without a header what it holds")
  func manifestTells() async throws {
    // A device's bodies that would pass for records of the queues' journal: message 0 is locked.
    let store = try await SalvagedStore.write(compression: .none) { _ in
      Payload([2, 0, 1, 0x80, 1])
    }
    func found(_ isHeaderLost: Bool, _ isManifestLost: Bool) throws -> SalvagedStore.Found {
      var files = store.files
      if isManifestLost { files[SalvagedStore.root.appending(FileNames.manifest)] = nil }
      for (path, bytes) in files where isHeaderLost && path.extension != nil {
        files[path] = [UInt8](repeating: 0xff, count: 128) + bytes.dropFirst(128)
      }
      return try SalvagedStore.salvage(files)
    }
    #expect(try found(false, true).holds(store.events))
    #expect(try found(true, false).holds(store.events))
    let unknown = try found(true, true)
    #expect(unknown.reading.events < store.events.values.map(\.count).reduce(0, +))
    #expect(unknown.salvage.counts.left > (try found(false, true)).salvage.counts.left)
  }

  @Test("An image of a disk gives every event, wherever in it files begin", arguments: [1, 2, 3])
  func image(seed: UInt64) async throws {
    let store = try await SalvagedStore.write()
    var random = SeededRandom(seed: seed)
    var image: [UInt8] = []
    func addNoise() {
      for _ in 0..<random.below(5_000) { image.append(UInt8(random.below(256))) }
      image += Array("MRF1".utf8)
      image += [UInt8](repeating: 0, count: random.below(3_000))
    }
    for path in store.files.keys.sorted(by: { $0.string < $1.string }).shuffled(using: &random) {
      addNoise()
      image += store.files[path] ?? []
    }
    addNoise()
    let found = try SalvagedStore.salvage(["/image": image], at: "/image")
    #expect(found.holds(store.events), "seed \(seed)")
    #expect(found.salvage.partitionCount == 3, "seed \(seed)")
    #expect(found.salvage.counts.damaged == 0, "seed \(seed)")
  }

  @Test("Copies, a tail in quarantine and a merged segment double nothing")
  func copies() async throws {
    let store = try await SalvagedStore.write()
    var files = store.files
    for (path, bytes) in store.files {
      files[FilePath("/store/copy" + path.string)] = bytes
      guard path.extension == "segment" else { continue }
      let name = path.lastComponent?.string ?? ""
      files[FilePath("/store/quarantine/" + name)] = Array(bytes[101...])
    }
    let found = try SalvagedStore.salvage(files)
    #expect(found.holds(store.events))
    #expect(found.reading.events == store.events.values.map(\.count).reduce(0, +))
    #expect(found.reading.duplicates == 2 * found.reading.events)
  }

  @Test("Batches cut differently from the same events give each event once")
  func merged() throws {
    let devices = SampleStore.devices[0]
    var small = SegmentWriter(SampleStore.added(1, partition: 0), storeID: SampleStore.storeID)
    var large = SegmentWriter(SampleStore.added(9, partition: 0), storeID: SampleStore.storeID)
    for number in 0..<8 {
      try small.batch([devices[number]], at: 10_000 + Int64(number) * 1_000)
    }
    try large.batch(Array(devices[0..<8]), at: 10_000)
    // Properties go by the place in the batch: half of the events differ, and both are kept.
    let found = try SalvagedStore.salvage(["/store/a": small.file, "/store/b": large.file])
    #expect(found.reading.events == 12)
    #expect(found.reading.duplicates == 4)
    for events in found.events.values {
      #expect(events.map(\.enqueuedTime) == events.map(\.enqueuedTime).sorted { $0! < $1! })
    }
  }

  @Test("Times at the ends of their range are saved like others, in a store that is sound")
  func farTimes() async throws {
    let devices = SampleStore.devices[0]
    var segment = SegmentWriter(
      SampleStore.added(1, partition: 0, base: Limits.numberMax - 10), storeID: SampleStore.storeID)
    try segment.batch(Array(devices[0..<3]), at: .min)
    try segment.batch(Array(devices[0..<3]), at: -1)
    try segment.batch(Array(devices[0..<3]), at: .max - 2_000)
    let found = try SalvagedStore.salvage(["/segment": segment.file], at: "/segment")
    #expect(found.reading.events == 9)

    let disk = MemoryFileSystem()
    let store = try await SalvagedStore.open(on: disk)
    var refused = 0
    for event in found.events.values.joined() {
      do {
        try await store.append(event)
      } catch {
        #expect(error.code == .enqueueTimeAhead)
        refused += 1
      }
    }
    try await store.close()
    #expect(refused == 3)
    #expect(try Fsck.check(SalvagedStore.root, fileSystem: disk).checked.events == 6)
    let again = try SalvagedStore.salvage(disk.image)
    #expect(again.reading.events == 6)
  }

  /// Every place in a release build; without optimisation a sample of them is slow enough.
  #if DEBUG
    private static let step = 7
  #else
    private static let step = 1
  #endif

  @Test(
    "A flipped bit in a frame's sections is set right, one in its header costs that frame alone")
  func flippedBits() throws {
    let sample = try SampleStore()
    let file = try #require(sample.files[sample.sealed])
    let whole = try SalvagedStore.salvage(["/segment": file], at: "/segment")
    #expect(whole.reading.events == 6)
    for place in stride(from: 0, to: file.count, by: Self.step) {
      var damaged = file
      damaged[place] ^= 1 << UInt8(place % 8)
      let found = try SalvagedStore.salvage(["/segment": damaged], at: "/segment")
      let counts = found.salvage.counts
      #expect(found.reading.events >= 4, "place \(place)")
      if found.reading.events == 6 {
        #expect(found.holds(whole.events), "place \(place)")
      } else {
        #expect(counts.healed == 0 && found.reading.events == 4, "place \(place)")
      }
      for (device, events) in found.events {
        #expect(events.allSatisfy { whole.events[device]?.contains($0) == true }, "place \(place)")
      }
    }
    // Behind the file header and the epoch frame.
    let body = 256 + FrameHeader.size + 100
    var damaged = file
    damaged[body] ^= 4
    var found = try SalvagedStore.salvage(["/segment": damaged], at: "/segment")
    #expect(found.salvage.counts.healed == 1 && found.holds(whole.events))
    damaged[body + 1] ^= 4
    found = try SalvagedStore.salvage(["/segment": damaged], at: "/segment")
    #expect(found.salvage.counts.healed == 0 && found.salvage.counts.damaged == 1)
    #expect(found.reading.events == 4)
  }

  @Test("Damage anywhere costs the frames that it meets and makes nothing up", arguments: 1...8)
  func damage(seed: UInt64) async throws {
    let store = try await SalvagedStore.write()
    var random = SeededRandom(seed: seed)
    var files = store.files
    let segments = files.keys.filter { $0.extension == "segment" }
      .sorted { $0.string < $1.string }
    for _ in 0..<20 {
      let path = segments[random.below(segments.count)]
      guard let size = files[path]?.count else { continue }
      let start = random.below(size)
      let end = min(size, start + 1 + random.below(400))
      if random.below(4) == 0 {
        files[path]?.removeSubrange(start..<end)
      } else {
        files[path]?.replaceSubrange(
          start..<end, with: (start..<end).map { _ in UInt8(random.below(256)) })
      }
    }
    let found = try SalvagedStore.salvage(files)
    #expect(found.reading.duplicates == 0, "seed \(seed)")
    #expect(found.reading.events > 0, "seed \(seed)")
    for (device, events) in found.events {
      // A part of what there was, in its order.
      var rest = (store.events[device] ?? [])[...]
      for event in events {
        let place = try #require(rest.firstIndex(of: event), "seed \(seed), \(device)")
        rest = rest[(place + 1)...]
      }
    }
  }

  @Test("What is no store gives nothing and ends")
  func strangeBytes() throws {
    var random = SeededRandom(seed: 77)
    let noise = (0..<200_000).map { _ in UInt8(random.below(256)) }
    let files: [FilePath: [UInt8]] = [
      "/heap/empty": [], "/heap/short": [0x4d], "/heap/noise": noise,
      "/heap/text": Array("A text about MRF1, and nothing else.".utf8),
      "/heap/magic": Array(repeatElement(Array("MRF1".utf8), count: 20_000).joined()),
      "/heap/zeros": [UInt8](repeating: 0, count: 3 << 20),
    ]
    let found = try SalvagedStore.salvage(files, at: "/heap")
    #expect(found.salvage.counts.files == 6 && found.salvage.counts.frames == 0)
    #expect(found.salvage.counts.damaged == 0)
    #expect(throws: InspectionFailure.missing("/nothing")) {
      try SalvagedStore.salvage(files, at: "/nothing")
    }
  }

  @Test("Headers that claim far more than there is proven cost time by the size of the file")
  func vainClaims() throws {
    // Each claims what follows, up to the last byte, and no checksum of a section holds.
    var bytes = ByteBuffer()
    let size = 4 << 20
    while bytes.count < size {
      let start = bytes.count
      bytes.appendZeros(192)
      var header = FrameHeader(
        type: FrameHeader.FrameType.batch, epoch: 0, recordCount: 1, baseNumber: 1,
        baseTime: Timestamp(microseconds: 1), watermark: 0, chain: UInt32(start))
      header.storedSize = UInt32(max(0, size - start - 64))
      _ = header.encode(over: &bytes, at: start, seed: UInt32(start))
    }
    let file = bytes.array(0..<bytes.count)
    let found = try SalvagedStore.salvage(["/claims": file], at: "/claims")
    #expect(found.salvage.counts.frames == 0)
    #expect(found.salvage.counts.damaged > 0)
  }
}
