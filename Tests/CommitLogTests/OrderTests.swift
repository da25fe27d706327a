import CommitLog
import EventModel
import LogFormat
import StorageIO
import SystemPackage
import Testing

/// What must be durable before what: nothing rests on bytes that a crash could take back.
@Suite struct OrderTests {
  private func observed() throws -> (ObservedFileSystem, TestStore) {
    let fileSystem = ObservedFileSystem(MemoryFileSystem())
    try TestStore.create(on: fileSystem)
    return (fileSystem, try TestStore.open(on: fileSystem, segmentSize: 4_096))
  }

  /// The calls in words, with short names for the files; indexes are nobody's evidence.
  private func words(_ fileSystem: ObservedFileSystem) -> [String] {
    fileSystem.calls.filter { !$0.path.string.hasSuffix(".index") }.map { call in
      let name = call.path.lastComponent?.string ?? ""
      return "\(call.operation.rawValue) \(name)"
    }
  }

  @Test("A roll is a barrier: old segment, new file, its name and its edit, only then a frame")
  func roll() throws {
    let (fileSystem, store) = try observed()
    try store.append(0..<2)
    try store.write(2..<4)
    fileSystem.forget()
    try store.append(bodySize: 4_000, seed: 1)
    let old = "00000000000000000000-00000001.segment"
    let new = "00000000000000000004-00000002.segment"
    #expect(
      words(fileSystem) == [
        "synchronize \(old)", "truncate \(old)", "create \(new)", "write \(new)",
        "synchronize \(new)", "synchronizeDirectory 000", "write MANIFEST",
        "synchronize MANIFEST", "write \(new)", "synchronize \(new)",
      ])
  }

  @Test("A store exists when its manifest does: everything it names is durable before")
  func creation() throws {
    let fileSystem = ObservedFileSystem(MemoryFileSystem())
    try TestStore.create(on: fileSystem, partitionCount: 2)
    let calls = words(fileSystem)
    #expect(
      calls.suffix(10) == [
        "create CHECKPOINTS.new", "write CHECKPOINTS.new", "synchronize CHECKPOINTS.new",
        "rename CHECKPOINTS", "synchronizeDirectory store",
        "create MANIFEST.new", "write MANIFEST.new", "synchronize MANIFEST.new",
        "rename MANIFEST", "synchronizeDirectory store",
      ])
    for (segment, folder) in [("1", "000"), ("2", "001")] {
      let name = "00000000000000000000-0000000\(segment).segment"
      let made = try #require(calls.firstIndex(of: "write \(name)"))
      #expect(calls[made + 1] == "synchronize \(name)")
      #expect(calls[made + 2] == "synchronizeDirectory \(folder)")
    }
    #expect(calls.contains("synchronizeDirectory partitions"))
  }

  @Test("A cut comes after its copy and its edit, and both are durable")
  func cut() throws {
    var image = try StoreImage.killed([.write(0..<3), .sync, .write(3..<6)])
    var segment = try image.segment()
    segment.garbleBody(of: segment.frames[2])
    image.put(segment)
    let fileSystem = ObservedFileSystem(image.memory())
    _ = try TestStore.open(on: fileSystem, seed: 3)
    let name = "00000000000000000000-00000001"
    let copy = "\(name).undecidable-tail.\(segment.frames[2].position)"
    #expect(
      words(fileSystem) == [
        // Frames that no watermark proves may be in memory alone, and clean.
        "synchronize MANIFEST", "synchronizeDirectory store", "write MANIFEST",
        "synchronize MANIFEST", "synchronize \(name).segment", "synchronizeDirectory 000",
        "createDirectory quarantine", "synchronizeDirectory store", "create \(copy)",
        "write \(copy)", "synchronize \(copy)", "synchronizeDirectory quarantine",
        "write MANIFEST", "write MANIFEST", "synchronize MANIFEST",
        "truncate \(name).segment", "synchronize \(name).segment", "write \(name).segment",
      ])
  }

  @Test("An event is acknowledged when its sync has returned, and read no sooner")
  func acknowledgement() throws {
    let (fileSystem, store) = try observed()
    try store.write(0..<2)
    #expect(store.partition.highWatermark == 0 && store.partition.unsyncedSize > 0)
    #expect(try store.read().serials.isEmpty)
    fileSystem.forget()
    #expect(try store.partition.synchronize() == 2)
    #expect(words(fileSystem) == ["synchronize 00000000000000000000-00000001.segment"])
    #expect(try store.read().serials == [0, 1] && store.partition.unsyncedSize == 0)
    // The mark says what is durable and needs no sync of its own; a second one has nothing to say.
    fileSystem.forget()
    try store.partition.writeMark()
    try store.partition.writeMark()
    #expect(words(fileSystem) == ["write 00000000000000000000-00000001.segment"])
  }
}
