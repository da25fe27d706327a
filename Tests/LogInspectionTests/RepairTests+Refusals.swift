import EventModel
import LogFormat
import LogInspection
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// Stores that a repair must not write to.
extension RepairTests {
  /// Changes a byte of a file's header and the checksum with it.
  private func change(_ store: inout SampleStore, _ path: FilePath, byte: Int, to value: UInt8)
    throws
  {
    store.files[path]?[byte] = value
    var header = ByteBuffer(capacity: FileHeader.size)
    for byte in try #require(store.files[path]).prefix(FileHeader.size - 4) { header.append(byte) }
    let checksum = header.withBytes { CRC32C.checksum($0) }
    for index in 0..<4 {
      store.files[path]?[FileHeader.size - 4 + index] = UInt8(
        truncatingIfNeeded: checksum >> (8 * UInt32(index)))
    }
  }

  @Test("A store that a newer program has written is left alone")
  func unsupported() throws {
    var store = try SampleStore()
    store.files[store.sealed]?[300] ^= 0x40
    try change(&store, store.other, byte: 8, to: 9)
    let fileSystem = store.fileSystem
    let outcome = try repair(fileSystem)
    #expect(outcome.found.findings.contains { $0.kind == .unsupported })
    #expect(outcome.repairs == [])
    #expect(fileSystem.image == store.files)
  }

  /// The manifest alone was asked.
  @Test(
    "A store with features that this program may only read is not written to",
    arguments: [FileNames.manifest, FileNames.checkpoints, FileNames.segmentSuffix])
  func readOnlyFeatures(_ suffix: String) throws {
    var store = try SampleStore()
    store.files[store.sealed]?[300] ^= 0x40
    let path = store.files.keys.first { $0.string.hasSuffix(suffix) && $0 != store.sealed }
    // The read-only compatible features.
    try change(&store, try #require(path), byte: 16, to: 1)
    let fileSystem = store.fileSystem
    #expect(try repair(fileSystem).repairs == [])
    var files = fileSystem.image
    files[SampleStore.root.appending(FileNames.lock)] = []
    #expect(files == store.files)
  }

  @Test("A store that another process writes to is not touched")
  func locked() throws {
    var store = try SampleStore()
    store.files[store.sealed]?[300] ^= 0x40
    let fileSystem = store.fileSystem
    let lock = try fileSystem.lock(SampleStore.root.appending(FileNames.lock))
    let image = fileSystem.image
    #expect {
      _ = try repair(fileSystem)
    } throws: { error in
      if case RepairFailure.locked = error { true } else { false }
    }
    #expect(fileSystem.image == image)
    withExtendedLifetime(lock) {}
  }
}
