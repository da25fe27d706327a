import EventModel
import Foundation
import LogFormat
import LogInspection
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// A read-only view of files of which one has pages that the disk no longer reads.
final class BadSectors: FileSystem {
  private let below: MemoryFileSystem
  private let path: FilePath
  private let bad: Range<Int>

  init(_ below: MemoryFileSystem, path: FilePath, bad: Range<Int>) {
    self.below = below
    self.path = path
    self.bad = bad
  }

  func open(_ path: FilePath, _ access: FileAccess) throws(IOFailure) -> any StorageFile {
    guard access == .readOnly else { throw refuse(.open, path) }
    let file = try below.open(path, .readOnly)
    return BadFile(file, bad: path == self.path ? bad : 0..<0)
  }

  private func refuse(_ operation: IOFailure.Operation, _ path: FilePath) -> IOFailure {
    IOFailure(operation, path, .readOnlyFileSystem)
  }

  func kind(of path: FilePath) throws(IOFailure) -> FileKind? { try below.kind(of: path) }
  func list(_ directory: FilePath) throws(IOFailure) -> [DirectoryEntry] {
    try below.list(directory)
  }
  func createDirectory(_ path: FilePath) throws(IOFailure) {
    throw refuse(.createDirectory, path)
  }
  func rename(_ path: FilePath, to target: FilePath) throws(IOFailure) {
    throw refuse(.rename, path)
  }
  func link(_ path: FilePath, to target: FilePath) throws(IOFailure) { throw refuse(.link, path) }
  func remove(_ path: FilePath) throws(IOFailure) { throw refuse(.remove, path) }
  func removeDirectory(_ path: FilePath) throws(IOFailure) { throw refuse(.remove, path) }
  func synchronizeDirectory(_ path: FilePath) throws(IOFailure) {
    throw refuse(.synchronizeDirectory, path)
  }
  func openVolume(of path: FilePath) throws(IOFailure) -> any StorageVolume {
    throw refuse(.open, path)
  }
  func lock(_ path: FilePath) throws(IOFailure) -> LockAttempt { throw refuse(.lock, path) }
  func lockHolder(of path: FilePath) throws(IOFailure) -> LockHolder? {
    throw refuse(.lock, path)
  }
}

private final class BadFile: StorageFile {
  private let below: any StorageFile
  private let bad: Range<Int>

  init(_ below: any StorageFile, bad: Range<Int>) {
    self.below = below
    self.bad = bad
  }

  var path: FilePath { below.path }
  func size() throws(IOFailure) -> ByteCount { try below.size() }
  func allocatedSize() throws(IOFailure) -> ByteCount { try below.allocatedSize() }
  func map(_ size: ByteCount) throws(IOFailure) -> FileMapping { try below.map(size) }
  func read(into buffer: inout MutableRawSpan, at position: FilePosition) throws(IOFailure) -> Int {
    if bad.overlaps(position.bytes..<position.bytes + buffer.byteCount) {
      throw IOFailure(.read, path, .ioError)
    }
    return try below.read(into: &buffer, at: position)
  }

  private func refuse(_ operation: IOFailure.Operation) -> IOFailure {
    IOFailure(operation, path, .readOnlyFileSystem)
  }

  func write(_ bytes: RawSpan, at position: FilePosition) throws(IOFailure) {
    throw refuse(.write)
  }
  func reserve(_ size: ByteCount) throws(IOFailure) { throw refuse(.reserve) }
  func truncate(to size: ByteCount) throws(IOFailure) { throw refuse(.truncate) }
  func synchronize() throws(IOFailure) { throw refuse(.synchronize) }
}

@Suite("A disk that fails to read")
struct BadSectorTests {
  @Test("Events around a page that cannot be read are shown, and the page is named")
  func badPage() throws {
    var writer = SegmentWriter(
      SampleStore.added(2, partition: 1), storeID: SampleStore.storeID, codec: .none)
    writer.epoch(at: 2_000)
    for number in 0..<60 {
      try writer.batch(
        Array(SampleStore.devices[1][0..<4]), at: 15_000 + Int64(number) * 10_000)
      writer.sync()
    }
    writer.mark(at: 900_000)
    var store = try SampleStore(isClosed: false)
    store.files[store.other] = writer.file
    let bad = 8_192..<12_288
    let fileSystem = BadSectors(store.fileSystem, path: store.other, bad: bad)
    let result = try Fsck.check(SampleStore.root, fileSystem: fileSystem)
    #expect(!result.clean)
    let unreadable = try #require(result.findings.first { $0.kind == .unreadable })
    #expect(unreadable.position == bad.lowerBound)
    let lost = result.findings.compactMap(\.acknowledgedLoss)
    var numbers: Set<UInt64> = []
    for loss in lost { numbers.formUnion(loss.firstSequence..<loss.nextSequence) }
    #expect(!numbers.isEmpty)
    var shown: Set<UInt64> = []
    try StoreInspector(SampleStore.root, fileSystem: fileSystem).walk { item in
      if case .record(let record) = item, record.partition == 1 {
        shown.insert(record.sequenceNumber)
      }
      return .goOn
    }
    #expect(shown.isDisjoint(with: numbers))
    #expect(shown.union(numbers) == Set(0..<240))
    #expect(shown.count > 150)
  }

  /// A hole that ends near the last place there is: skipping it made a sum overflow.
  @Test(
    "A file of any length is an answer",
    arguments: ["MANIFEST", "CHECKPOINTS", ".segment", ".index"])
  func endlessFile(_ suffix: String) throws {
    let root = "/dev/shm/millrace-endless-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: root) }
    let store = try SampleStore()
    for (path, bytes) in store.files {
      let url = URL(filePath: root + path.string)
      try FileManager.default.createDirectory(
        at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(bytes).write(to: url)
    }
    let path = try #require(store.files.keys.first { $0.string.hasSuffix(suffix) })
    try #require(truncate(root + path.string, .max) == 0)
    let folder = FilePath(root + SampleStore.root.string)
    let name = String(path.string.dropFirst(SampleStore.root.string.count + 1))
    let system = SystemFileSystem()
    func ask(_ question: () throws -> Void) {
      do {
        try question()
      } catch {
        #expect("\(error)".contains("File too large"))
      }
    }
    ask {
      let findings = try Fsck.check(folder, fileSystem: system).findings
      #expect(findings.contains { $0.file == name && $0.detail.contains("File too large") })
    }
    ask { _ = try StoreStatistics.collect(folder, fileSystem: system) }
    ask { try StoreInspector(folder, fileSystem: system).walk { _ in .goOn } }
    ask {
      _ = try StoreRepair.run(folder, environment: SimulatedStore.environment(system, seed: 1))
    }
  }
}
