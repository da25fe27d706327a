import CommitLog
import ConsumerCheckpoints
import EventModel
import Foundation
import LogFormat
import LogInspection
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// Stores that released versions of the format wrote, kept for ever: whoever opens them reads
/// exactly what was written then.
///
/// Each folder holds a store, and beside it stands `NAME.events` with a line for each event. A new
/// version of the format adds its own with
/// `MILLRACE_GOLDEN=FOLDER swift test --filter GoldenFileTests`.
@Suite("Stores that were written long ago")
struct GoldenStoreTests {
  struct Golden: Sendable, CustomTestStringConvertible {
    let version: String
    let name: String
    /// What a check may remark.
    let notes: [DamageKind]

    var testDescription: String { "\(version)/\(name)" }
    var folder: URL { GoldenStoreTests.here.appending(path: version).appending(path: name) }
    var events: URL { folder.appendingPathExtension("events") }
  }

  static let here = URL(filePath: #filePath).deletingLastPathComponent()
  static let all = [
    Golden(version: "version-1", name: "closed", notes: []),
    Golden(version: "version-1", name: "killed", notes: [.undecidableTail]),
  ]

  /// The store in memory, under a name it never had.
  private func load(_ golden: Golden) throws -> MemoryFileSystem {
    var files: [FilePath: [UInt8]] = [:]
    let prefix = golden.folder.path().count
    let found = try #require(
      FileManager.default.enumerator(at: golden.folder, includingPropertiesForKeys: nil))
    for case let url as URL in found where !url.hasDirectoryPath {
      let name = String(url.path().dropFirst(prefix)).split(separator: "/").joined(separator: "/")
      files[CanonicalStore.root.appending(name)] = Array(try Data(contentsOf: url))
    }
    #expect(files.count > 4)
    return MemoryFileSystem(files: files)
  }

  @Test("Every event is there as it was written", arguments: all)
  func events(_ golden: Golden) throws {
    let expected = try String(contentsOf: golden.events, encoding: .utf8)
    let fileSystem = try load(golden)
    #expect(try Self.dump(fileSystem) == expected, "as dump shows it")
    let environment = CanonicalStore.environment(fileSystem)
    let follower = try LogFollower.open(
      at: CanonicalStore.root, environment: environment, evidence: { _ in [:] })
    let snapshots = (0..<follower.partitionCount).map { follower.snapshot(of: $0) }
    #expect(try Self.read(snapshots, fileSystem) == expected, "without writing")
    let log = try CommitLog.open(
      at: CanonicalStore.root, environment: environment, evidence: { _ in [:] })
    #expect(try Self.read(log.partitions.map(\.snapshot), fileSystem) == expected, "as a writer")
    let image = try CheckpointImage.read(
      root: CanonicalStore.root, storeID: log.context.storeID,
      witness: log.manifest.state.checkpointWitness, fileSystem: fileSystem)
    #expect(image.findings.isEmpty)
    for group in CanonicalStore.groups {
      #expect(image.table.checkpoint(of: group, in: 0) == 3)
    }
    try log.close()
    #expect(try Self.dump(fileSystem) == expected, "opened and closed")
  }

  @Test("A check is content, also when a writer has opened and closed it", arguments: all)
  func check(_ golden: Golden) throws {
    let fileSystem = try load(golden)
    let before = try Fsck.check(CanonicalStore.root, fileSystem: fileSystem)
    #expect(before.clean)
    #expect(before.findings.filter { $0.kind != .missingFile }.map(\.kind) == golden.notes)
    try CommitLog.open(
      at: CanonicalStore.root, environment: CanonicalStore.environment(fileSystem),
      evidence: { _ in [:] }
    ).close()
    let after = try Fsck.check(CanonicalStore.root, fileSystem: fileSystem)
    #expect(after.clean)
    #expect(after.findings.allSatisfy { $0.kind == .missingFile })
    #expect(after.checked.events == before.checked.events)
  }

  @Test("The second reader tells as well what has become of the checkpoints")
  func lostCheckpoints() throws {
    let store = try CanonicalStore(.closed)
    let path = CanonicalStore.root.appending(FileNames.checkpoints)
    let bytes = try #require(store.files[path])
    let other = try #require(CanonicalStore(.closed, variant: 1).files[path])
    // The last frame is a commit.
    let last = try #require(
      stride(from: 0, to: bytes.count, by: 64)
        .filter { FrameHeader.bearsMagic(bytes.span.bytes, at: $0) }.last)
    let states: [(bytes: [UInt8]?, isWhole: Bool)] = [
      (bytes, true), (bytes + [UInt8](repeating: 0, count: 64), true), (nil, false),
      (Array(bytes[..<FileHeader.size]), false), (Array(bytes[..<last]), false), (other, false),
    ]
    for (index, state) in states.enumerated() {
      let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
      let damaged = store.replacing(path, by: state.bytes)
      try Self.write(damaged, to: folder)
      let (text, status) = try QueueReader.run([folder.path()])
      try FileManager.default.removeItem(at: folder)
      try FileManager.default.removeItem(at: folder.appendingPathExtension("events"))
      #expect(status == (state.isWhole ? 0 : 2), "\(index)")
      #expect(text.split(separator: "\n").count == store.events.joined().count, "\(index)")
      #expect(
        try Fsck.check(CanonicalStore.root, fileSystem: damaged.fileSystem).clean == state.isWhole)
    }
  }

  @Test(
    "A golden store is written where one is asked for",
    .enabled(if: ProcessInfo.processInfo.environment["MILLRACE_GOLDEN"] != nil))
  func make() throws {
    let target = URL(
      filePath: try #require(ProcessInfo.processInfo.environment["MILLRACE_GOLDEN"]))
    try Self.write(try CanonicalStore(.closed), to: target.appending(path: "closed"))
    let killed = try CanonicalStore(.killedWriting)
    let path = try #require(
      killed.files.keys.filter { $0.extension == "segment" }.max { $0.string < $1.string })
    let torn = killed.replacing(path, by: killed.files[path]?.dropLast(100))
    try Self.write(torn, to: target.appending(path: "killed"))
  }

  private static func write(_ store: CanonicalStore, to folder: URL) throws {
    for (path, bytes) in store.files {
      let name = path.string.dropFirst(CanonicalStore.root.string.count + 1)
      let url = folder.appending(path: String(name))
      try FileManager.default.createDirectory(
        at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(bytes).write(to: url)
    }
    try Data(try dump(store.fileSystem).utf8)
      .write(to: folder.appendingPathExtension("events"))
  }

  private static func dump(_ fileSystem: any FileSystem) throws -> String {
    var lines: [String] = []
    try StoreInspector(CanonicalStore.root, fileSystem: fileSystem).walk { item in
      guard case .record(let record) = item else { return .goOn }
      lines.append(line(Int(record.partition), record.batch, record.index))
      return .goOn
    }
    return lines.joined()
  }

  private static func read(
    _ snapshots: [LogSnapshot], _ fileSystem: any FileSystem
  ) throws -> String {
    let decompressor = BatchDecompressor()
    let mappings = MappingCache(fileSystem)
    var lines: [String] = []
    for (partition, snapshot) in snapshots.enumerated() {
      let cursor = BatchCursor(from: 0, mappings: mappings, fileSystem: fileSystem) { snapshot }
      while let item = try cursor.read() {
        guard case .batch(let stored, let first) = item else {
          lines.append("\(item)\n")
          continue
        }
        let batch = try stored.decode(with: decompressor)
        lines += (first..<batch.count).map { line(partition, batch, $0) }
      }
    }
    return lines.joined()
  }

  /// One event: number, time, device, system properties, properties and body.
  private static func line(_ partition: Int, _ batch: DecodedBatch, _ index: Int) -> String {
    let device = batch.withDeviceID(at: index) { text($0) }
    let system = SystemProperty.allCases.compactMap { property in
      batch.text(property, at: index).map { "\(property)=\($0)" }
    }
    let properties = batch.properties(at: index).map { "\($0.name)=\($0.value)" }
    let fields = [
      "\(partition)@\(batch.baseOffset + UInt64(index))",
      "\(batch.time(at: index).microseconds)", device, system.joined(separator: ","),
      properties.joined(separator: ","), batch.withBody(at: index) { text($0) },
    ]
    return fields.joined(separator: "\t") + "\n"
  }

  private static func text(_ bytes: RawSpan) -> String {
    bytes.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
  }
}
