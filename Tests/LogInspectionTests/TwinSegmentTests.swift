import EventModel
import LogFormat
import LogInspection
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// Where a folder could not be listed, an id may be given that a segment in it has.
@Suite("Segments of two logs with one id")
struct TwinSegmentTests {
  /// A store of whose segment 3, in partition 0, there is a twin in partition 1, which follows that
  /// log's last segment and which no edit names.
  private func store(holdsEvents: Bool = true) throws -> (store: SampleStore, twin: FilePath) {
    var writer = SegmentWriter(
      SampleStore.added(3, partition: 1, base: 4, predecessor: 2), storeID: SampleStore.storeID)
    if holdsEvents { try writer.batch([SampleStore.devices[1][0]], at: 90_000) }
    writer.mark(at: 91_000)
    var store = try SampleStore()
    let path = SampleStore.path(writer.added, FileNames.segmentSuffix)
    store.files[path] = writer.file
    return (store, path)
  }

  private func expectRefusal(_ store: SampleStore, _ twin: FilePath) throws {
    let fileSystem = store.fileSystem
    let found = try Fsck.check(SampleStore.root, fileSystem: fileSystem)
    #expect(!found.clean)
    let finding = try #require(found.findings.first { $0.detail.contains("given twice") })
    #expect(finding.kind == .manifestDamaged && finding.severity == .error)
    #expect(
      twin.string.hasSuffix(finding.detail.split(separator: ": ")[1].split(separator: " ")[0]))
    let outcome = try StoreRepair.run(
      SampleStore.root, environment: SimulatedStore.environment(fileSystem, seed: 1))
    #expect(!outcome.found.clean)
    let manifest = SampleStore.manifest
    #expect(fileSystem.image[manifest] == store.files[manifest])
    for path in store.files.keys where path.extension == "segment" {
      #expect(fileSystem.image[path] == store.files[path])
    }
    #expect(try !Fsck.check(SampleStore.root, fileSystem: fileSystem).clean)
  }

  /// It was clean: the twin was taken for the one that is named, and no repair would have kept it.
  @Test("One that holds events and is not named is found, and no manifest without it is written")
  func unnamed() throws {
    let (store, twin) = try store()
    try expectRefusal(store, twin)
    // All that is named is looked at.
    let result = try Fsck.check(SampleStore.root, fileSystem: store.fileSystem)
    #expect(result.checked.events == 15)
  }

  /// One of them went out of the store with its events.
  @Test("A lost manifest is not put together from both, nor from one of them")
  func lostManifest() throws {
    for holdsEvents in [true, false] {
      var (store, twin) = try store(holdsEvents: holdsEvents)
      store.files[SampleStore.manifest] = nil
      try expectRefusal(store, twin)
    }
  }

  @Test("One without an event, beside a manifest that is whole, is left over and no damage")
  func empty() throws {
    let (store, _) = try store(holdsEvents: false)
    #expect(try Fsck.check(SampleStore.root, fileSystem: store.fileSystem).clean)
  }

  @Test("Salvage has the events of both")
  func salvage() throws {
    let (store, _) = try store()
    let found = try SalvagedStore.salvage(store.files)
    #expect(found.events.values.reduce(0) { $0 + $1.count } == 16)
  }
}
