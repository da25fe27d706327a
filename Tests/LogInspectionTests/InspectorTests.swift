import EventModel
import LogFormat
import LogInspection
import StorageIO
import SystemPackage
import Testing

@Suite("Showing files")
struct InspectorTests {
  private func items(_ path: FilePath, _ store: SampleStore) throws -> [InspectedItem] {
    var items: [InspectedItem] = []
    try StoreInspector(path, fileSystem: store.fileSystem).walk { item in
      items.append(item)
      return .goOn
    }
    return items
  }

  private func bodies(_ items: [InspectedItem]) -> [String] {
    items.compactMap {
      guard case .record(let record) = $0 else { return nil }
      return String(decoding: record.body.bytes, as: UTF8.self)
    }
  }

  private func damages(_ items: [InspectedItem]) -> [Damage] {
    items.compactMap { if case .damage(let damage) = $0 { damage } else { nil } }
  }

  @Test("A store shows every event with everything that belongs to it")
  func wholeStore() throws {
    let store = try SampleStore()
    let items = try items(SampleStore.root, store)
    #expect(damages(items).isEmpty)
    #expect(bodies(items) == store.bodies[0] + store.bodies[1])
    let records = items.compactMap { if case .record(let record) = $0 { record } else { nil } }
    let third = try #require(records.dropFirst(2).first)
    #expect(third.sequenceNumber == 2)
    #expect(third.partition == 0)
    #expect(third.deviceID == SampleStore.devices[0][1])
    #expect(third.enqueuedTime == Timestamp(microseconds: 20_000))
    #expect(third.properties["unit"] == "C")
    #expect(third.systemProperties[.messageID] == "m2")
    let files = items.compactMap { if case .file(let file) = $0 { file.name } else { nil } }
    #expect(files.count == 7)
    #expect(files.contains("MANIFEST"))
  }

  @Test("Damage stands between the events before and behind it")
  func damageInPlace() throws {
    var store = try SampleStore()
    let clean = try items(store.sealed, store)
    let frames = clean.compactMap { if case .frame(let frame) = $0 { frame } else { nil } }
    let second = try #require(frames.first { $0.header.baseNumber == 2 && $0.header.type == 1 })
    let sealed = store.sealed
    store.files[sealed]?[second.position + 1] ^= 0xff
    let damaged = try items(sealed, store)
    let order = damaged.compactMap { item -> String? in
      switch item {
      case .record(let record): "\(record.sequenceNumber)"
      case .damage(let damage): damage.kind.rawValue
      default: nil
      }
    }
    #expect(order == ["0", "1", "damaged-frame", "4", "5"])
    let damage = try #require(damages(damaged).first)
    #expect(damage.position == second.position)
    #expect(damage.acknowledgedLoss?.firstSequence == 2)
    #expect(damage.acknowledgedLoss?.nextSequence == 4)
  }

  @Test("A segment far from its store is shown by its own header")
  func loneSegment() throws {
    let store = try SampleStore()
    let fileSystem = MemoryFileSystem(files: ["/lone/copy.bin": store.files[store.sealed] ?? []])
    let inspector = try StoreInspector("/lone/copy.bin", fileSystem: fileSystem)
    #expect(inspector.target == .file(.segment))
    var count = 0
    inspector.walk { item in
      if case .record = item { count += 1 }
      return .goOn
    }
    #expect(count == 6)
  }

  @Test("A segment whose header is destroyed is read with what the manifest knows")
  func lostHeader() throws {
    var store = try SampleStore()
    let sealed = store.sealed
    for index in 0..<128 { store.files[sealed]?[index] = 0x55 }
    let items = try items(sealed, store)
    #expect(damages(items).map(\.kind) == [.badFileHeader])
    #expect(bodies(items) == Array(store.bodies[0][..<6]))
  }

  @Test("A store without a manifest is read by what the segments say of themselves")
  func lostManifest() throws {
    var store = try SampleStore()
    store.files[SampleStore.manifest] = nil
    let items = try items(SampleStore.root, store)
    #expect(bodies(items) == store.bodies[0] + store.bodies[1])
    #expect(damages(items).map(\.kind) == [.missingFile])
    let result = try Fsck.check(SampleStore.root, fileSystem: store.fileSystem)
    #expect(!result.clean)
    #expect(result.checked.events == 15)
  }

  @Test("A file of a later version is unsupported, not damaged")
  func laterVersion() throws {
    var store = try SampleStore()
    var header = try #require(store.files[store.sealed])[..<128]
    header[8] = 9
    var bytes = ByteBuffer()
    bytes.append(Array(header[..<124]))
    let checksum = bytes.withBytes { CRC32C.checksum($0) }
    bytes.append(checksum)
    store.files[store.sealed]?.replaceSubrange(0..<128, with: bytes.array(0..<128))
    let result = try Fsck.check(SampleStore.root, fileSystem: store.fileSystem)
    #expect(result.findings.map(\.kind) == [.unsupported])
    #expect(result.findings.allSatisfy { $0.acknowledgedLoss == nil })
    let shown = try items(SampleStore.root, store)
    #expect(bodies(shown) == Array(store.bodies[0][6...]) + store.bodies[1])
  }

  @Test("Manifest, checkpoints and index show their entries")
  func entryFiles() throws {
    let store = try SampleStore()
    let edits = try items(SampleStore.manifest, store).filter {
      if case .manifestEdit = $0 { true } else { false }
    }
    #expect(edits.count == 8)
    let entries = try items(SampleStore.checkpoints, store).filter {
      if case .checkpointEntry = $0 { true } else { false }
    }
    #expect(entries.count == 2)
    let stem = try #require(store.sealed.lastComponent?.stem)
    let index = store.sealed.removingLastComponent().appending(stem + FileNames.indexSuffix)
    let places = try items(index, store).compactMap { item -> UInt64? in
      if case .indexEntry(let entry) = item { entry.entry.baseNumber } else { nil }
    }
    #expect(places == [0, 2, 4])
  }

  @Test("A visitor that has seen enough ends the walk")
  func stopping() throws {
    let store = try SampleStore()
    var count = 0
    try StoreInspector(SampleStore.root, fileSystem: store.fileSystem).walk { item in
      guard case .record = item else { return .goOn }
      count += 1
      return count == 3 ? .stop : .goOn
    }
    #expect(count == 3)
  }
}
