import EventModel
import LogFormat
import LogInspection
import Millrace
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// Repairs damage in the files of device queues: a sample of every family, by a seed.
@Suite("Repair of the files of device queues")
struct QueueRepairTests {
  #if DEBUG
    private static let countMax = 3
  #else
    private static let countMax = 40
  #endif

  private func repair(_ disk: any FileSystem) throws -> StoreRepair.Outcome {
    try StoreRepair.run(
      QueueStore.root, environment: CanonicalStore.environment(disk, seed: 5))
  }

  /// What is not as it should be once a damaged store was repaired and opened; where it is whole,
  /// nothing may be missing.
  private func violation(
    _ store: QueueStore, _ damaged: QueueStore, isWhole: Bool
  ) async throws -> String? {
    let disk = damaged.fileSystem
    let outcome = try repair(disk)
    guard outcome.found.needsRepair || damaged.isUntouched(on: disk) else {
      return "a store without damage was changed"
    }
    let opened = try await QueueStore.open(disk, .readWrite)
    let seen = try await QueueContents(of: opened)
    try await opened.close()
    if isWhole, seen != store.contents { return "not everything is there again" }
    for (device, messages) in seen.waiting {
      for (number, message) in messages where store.sent[device]?[number] != message.text {
        return "\(number) to \(device) was never sent"
      }
    }
    let left = try Fsck.check(QueueStore.root, fileSystem: disk)
    if let finding = left.findings.first(where: { $0.severity == .error }) {
      return "left: \(finding.file): \(finding.kind.rawValue): \(finding.detail)"
    }
    return nil
  }

  private func sweep(
    _ store: QueueStore, seed: UInt64, isWhole: Bool,
    _ damage: ([UInt8], inout SeededRandom) -> (what: String, bytes: [UInt8]?)
  ) async throws {
    var random = DamageScope.random(seed)
    var tally = DamageTally()
    let files = store.files.filter { !$0.value.isEmpty && $0.key.lastComponent != "LOCK" }
    for (path, bytes) in files.sorted(by: { $0.key.string < $1.key.string }) {
      for _ in 0..<Self.countMax {
        let (what, changed) = damage(bytes, &random)
        var violation: String?
        do {
          violation = try await self.violation(
            store, store.replacing(path, by: changed), isWhole: isWhole)
        } catch {
          violation = "\(error)"
        }
        tally.note(what, of: path, violation)
      }
    }
    tally.expectNone("repaired stores with queues")
  }

  @Test("A flipped bit is set right, and nothing is missing", arguments: QueueStore.Ending.allCases)
  func flips(_ ending: QueueStore.Ending) async throws {
    try await sweep(try await QueueStore(ending), seed: 21, isWhole: true) { bytes, random in
      var damaged = bytes
      let (index, bit) = (random.below(bytes.count), random.below(8))
      damaged[index] ^= 1 << UInt8(bit)
      return ("bit \(bit) of byte \(index)", damaged)
    }
  }

  /// A manifest that was put together forgot the checkpoint of the queue files, and the next
  /// opening removed them as left over.
  @Test(
    "A manifest that has lost a frame keeps every message that waits",
    arguments: QueueStore.Ending.allCases, [true, false])
  func lostEdits(_ ending: QueueStore.Ending, _ hasDirectory: Bool) async throws {
    var store = try await QueueStore(ending)
    let manifest = QueueStore.root.appending(FileNames.manifest)
    var frames: [Range<Int>] = []
    try StoreInspector(QueueStore.root, fileSystem: store.fileSystem).walk { item in
      guard case .frame(let frame) = item, frame.file == FileNames.manifest else { return .goOn }
      frames.append(frame.position..<frame.frame.end)
      return .goOn
    }
    try #require(frames.count > 4)
    if !hasDirectory {
      let path = store.files.keys.first { $0.extension == "directory" }
      store = store.replacing(try #require(path), by: nil)
    }
    var random = DamageScope.random(23)
    // Nothing testifies to the last one.
    for frame in frames.dropLast().shuffled(using: &random).prefix(2 * Self.countMax) {
      var bytes = try #require(store.files[manifest])
      for index in frame { bytes[index] = 0 }
      let disk = store.replacing(manifest, by: bytes).fileSystem
      #expect(try repair(disk).repairs.contains { $0.file == FileNames.manifest })
      // Once more, since the first opening clears up.
      for _ in 0..<2 {
        let opened = try await QueueStore.open(disk, .readWrite)
        let seen = try await QueueContents(of: opened)
        #expect(seen.waiting == store.contents.waiting, "without the frame at \(frame.lowerBound)")
        try await opened.close()
      }
    }
  }

  /// Where the manifest names checkpoints of the queues, and which.
  private func filings(_ disk: MemoryFileSystem) throws -> [(position: Int, number: UInt32)] {
    var filings: [(Int, UInt32)] = []
    try StoreInspector(QueueStore.root, fileSystem: disk).walk { item in
      if case .manifestEdit(let edit) = item, case .queuesFiled(let checkpoint) = edit.entry {
        filings.append((edit.position, checkpoint.number))
      }
      return .goOn
    }
    return filings
  }

  /// Takes the last checkpoint of the queues out of the manifest, and the directory of queue files
  /// out of the store.
  private func loseCheckpoint(_ files: inout [FilePath: [UInt8]], hasDirectory: Bool) throws {
    let manifest = QueueStore.root.appending(FileNames.manifest)
    let last = try #require(try filings(MemoryFileSystem(files: files)).last)
    var bytes = try #require(files[manifest])
    for index in last.position..<last.position + FrameHeader.size { bytes[index] = 0 }
    files[manifest] = bytes
    guard !hasDirectory else { return }
    let name = FileNames.queueDirectory(checkpoint: last.number)
    let path = QueueStore.root.appending(FileNames.queues).appending(name)
    try #require(files.removeValue(forKey: path) != nil)
  }

  /// What waits in a store that was repaired and opened: twice, since the first opening clears up.
  private func waiting(
    _ disk: MemoryFileSystem
  ) async throws -> [[EventModel.DeviceID: [UInt64: QueueContents.Waiting]]] {
    _ = try repair(disk)
    var seen: [[EventModel.DeviceID: [UInt64: QueueContents.Waiting]]] = []
    for _ in 0..<2 {
      let store = try await QueueStore.open(disk, .readWrite)
      seen.append(try await QueueContents(of: store).waiting)
      try await store.close()
    }
    return seen
  }

  /// A store whose queues are filed twice, with a queue file of several frames, and what waits.
  private func filedTwice() async throws -> (
    files: [FilePath: [UInt8]], waiting: [EventModel.DeviceID: [UInt64: QueueContents.Waiting]]
  ) {
    let disk = try await QueueStore(.closed).fileSystem
    let store = try await QueueStore.open(disk, .readWrite)
    func message(_ size: Int) -> DeviceMessage {
      DeviceMessage(body: Payload([UInt8](repeating: 7, count: size)))
    }
    // The first of these may already have them filed, behind which nothing is left to file.
    let before = try filings(disk).count
    for _ in 0..<4 { try await store.deviceQueue(for: Self.large).enqueue(message(40_000)) }
    let queue = store.deviceQueue(for: "traffic")
    while try filings(disk).count == before || !disk.image.keys.contains(where: Self.isLarge) {
      for _ in 0..<12 { try await queue.enqueue(message(500)) }
      try await queue.complete(contentsOf: try await queue.receive(max: 12).map(\.lockToken))
    }
    let waiting = try await QueueContents(of: store).waiting
    try await store.close()
    return (disk.image, waiting)
  }

  private static let large: EventModel.DeviceID = "large"

  private static func isLarge(_ path: FilePath) -> Bool {
    path.extension == "queue" && path.lastComponent?.string.hasPrefix(large.description) == true
  }

  /// The manifest went on naming the checkpoint before, and the next opening removed the files.
  @Test(
    "A manifest that has lost the last of two checkpoints keeps every message that waits",
    arguments: [true, false])
  func lostCheckpoint(_ hasDirectory: Bool) async throws {
    var (files, expected) = try await filedTwice()
    try loseCheckpoint(&files, hasDirectory: hasDirectory)
    #expect(try await waiting(MemoryFileSystem(files: files)) == [expected, expected])
  }

  /// One that has lost its last checkpoint as well as the directory, and has a file of the next
  /// one beside a file of the same device.
  private func beginning(
    _ change: (_ bytes: inout [UInt8], _ frames: [Int]) -> Void
  ) async throws -> (
    files: [FilePath: [UInt8]], waiting: [EventModel.DeviceID: [UInt64: QueueContents.Waiting]],
    next: FilePath
  ) {
    var (files, expected) = try await filedTwice()
    let number = try #require(try filings(MemoryFileSystem(files: files)).last).number
    let path = try #require(files.keys.first(where: Self.isLarge))
    let next = path.removingLastComponent().appending(
      FileNames.queueFile(of: Self.large, checkpoint: number + 1))
    var bytes = try #require(files[path])
    let frames = stride(from: 0, to: bytes.count, by: FrameHeader.alignment).filter {
      FrameHeader.bearsMagic(bytes.span.bytes, at: $0)
    }
    try #require(frames.count > 2)
    change(&bytes, frames)
    files[next] = bytes
    try loseCheckpoint(&files, hasDirectory: false)
    return (files, expected, next)
  }

  /// The next opening removed what had been taken for a checkpoint that came to nothing.
  @Test(
    "A checkpoint of the queues that looks unfinished is not taken for the last; its files stay",
    arguments: [false, true])
  func unfinishedCheckpoint(_ isRotten: Bool) async throws {
    let (files, expected, next) = try await beginning { bytes, frames in
      if isRotten {
        bytes[frames[1] + 100] ^= 3
      } else {
        // The first frame and a part of the second.
        bytes.removeSubrange((frames[1] + 100)...)
      }
    }
    let disk = MemoryFileSystem(files: files)
    #expect(try await waiting(disk) == [expected, expected])
    let kept = disk.image.filter { $0.key.string.contains("/\(FileNames.quarantine)/") }
    let bytes = try #require(files[next])
    #expect(disk.image[next] == nil && kept.values.contains(bytes))
  }

  @Test("Of a queue file that is not read nothing is concluded")
  func unreadableCheckpoint() async throws {
    let (files, expected, next) = try await beginning { _, _ in }
    let name = try #require(next.lastComponent?.string)
    let middle = try #require(files[next]).count / 2
    let disk = SimulatedDisk(files: files, FaultPlan(badSectors: [name: middle..<middle + 1]))
    #expect(throws: RepairFailure.self) { try repair(disk) }
    for (path, bytes) in files where path.lastComponent?.string != FileNames.lock {
      #expect(disk.image[path] == bytes, "\(path)")
    }
    // The file is read again.
    #expect(try await waiting(MemoryFileSystem(files: disk.image)) == [expected, expected])
  }

  /// Its files were taken for none, and the next opening removed those of the last checkpoint.
  @Test("Of a folder of queue files that is not listed nothing is concluded")
  func unlistedFolder() async throws {
    var (files, expected) = try await filedTwice()
    let folder = try #require(files.keys.first(where: Self.isLarge)).removingLastComponent()
    try loseCheckpoint(&files, hasDirectory: false)
    for path in [folder, folder.removingLastComponent()] {
      let disk = SimulatedDisk(
        files: files,
        FaultPlan(failures: [
          .init(.call(.list, pathSuffix: path.string), .ioError, isLasting: true)
        ]))
      #expect(throws: RepairFailure.self, "\(path)") { try repair(disk) }
      for (path, bytes) in files where path.lastComponent?.string != FileNames.lock {
        #expect(disk.image[path] == bytes, "\(path)")
      }
      // The folder is listed again.
      #expect(try await waiting(MemoryFileSystem(files: disk.image)) == [expected, expected])
    }
  }

  @Test(
    "Whatever is zeroed, cut or gone, the store opens and no damage is left",
    arguments: QueueStore.Ending.allCases)
  func wide(_ ending: QueueStore.Ending) async throws {
    try await sweep(try await QueueStore(ending), seed: 22, isWhole: false) { bytes, random in
      let start = random.below(bytes.count)
      switch random.below(4) {
      case 0: return ("cut to \(start)", Array(bytes[..<start]))
      case 1 where random.below(8) == 0: return ("nothing there", nil)
      default:
        var damaged = bytes
        for index in start..<min(bytes.count, start + 300) { damaged[index] = 0 }
        return ("zeros from \(start)", damaged)
      }
    }
  }
}
