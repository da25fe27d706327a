import EventModel
import LogFormat
import Millrace
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// A file that is gone takes nothing with it but what it held.
@Suite("Streams whose active file is gone")
struct LostStreamTests {
  private static let settings = EventStore.Configuration(
    partitionCount: 1, queues: .init(feedback: .full, lockDuration: .seconds(300)))

  /// A closed store in which a message was completed, one was rejected and one waits.
  private func closedStore() async throws -> MemoryFileSystem {
    let fileSystem = MemoryFileSystem()
    let store = try await fileSystem.openStore(Self.settings)
    for id: MessageID in ["done", "bad", "left"] {
      try await store.deviceQueue(for: "d").enqueue(DeviceMessage(id: id, body: "x"))
    }
    let messages = try await store.deviceQueue(for: "d").receive(max: 2)
    try await store.deviceQueue(for: "d").complete(messages[0].lockToken)
    try await store.deviceQueue(for: "d").reject(messages[1].lockToken, reason: "no")
    try await store.close()
    return fileSystem
  }

  /// The only segment of a stream.
  private func segment(_ fileSystem: MemoryFileSystem, in folder: String) throws -> FilePath {
    let paths = fileSystem.image.keys.filter {
      $0.string.contains("/\(folder)/") && ["segment", "journal"].contains($0.extension)
    }
    try #require(paths.count == 1, "\(paths)")
    return paths[0]
  }

  /// The records that are there of the feedback and of the dead letters.
  private func counts(_ store: EventStore) async throws -> [Int] {
    var counts = [0, 0]
    for (place, stream) in [PartitionID.feedback, .deadLetters].enumerated() {
      for try await batch in store.batches(in: stream, until: .highWatermark) {
        counts[place] += batch.count
      }
    }
    return counts
  }

  @Test("Without its journal a store takes events, refuses messages and says why")
  func journal() async throws {
    let fileSystem = try await closedStore()
    let path = try segment(fileSystem, in: "journal")
    let bytes = fileSystem.image[path]
    try fileSystem.remove(path)
    let store = try await fileSystem.openStore(Self.settings, access: .readWrite)
    #expect(try await store.append(0..<3) == store.texts())
    let refusal = await failure {
      try await store.deviceQueue(for: "d").enqueue(DeviceMessage(body: "y"))
    }
    #expect(refusal?.code == .corrupt && refusal?.description.contains("\(path)") == true)
    #expect(try await store.queueTotals().pending == 0)
    #expect(try await counts(store) == [2, 1])
    try await store.close()
    #expect(fileSystem.image[path] == nil)
    // Found again, with all that waited.
    let found = MemoryFileSystem(
      files: fileSystem.image.merging([path: try #require(bytes)]) { $1 },
      directories: fileSystem.directories)
    let again = try await found.openStore(Self.settings, access: .readWrite)
    let messages = try await again.deviceQueue(for: "d").receive(max: 9)
    #expect(messages.map { $0.message.systemProperties[.messageID] } == ["left"])
    #expect(try await again.texts() == ["0", "1", "2"])
    try await again.close()
  }

  @Test("Without feedback or dead letters the queues go on, and all of it is copied afterwards")
  func outcomes() async throws {
    for (place, folder) in [FileNames.feedback, FileNames.deadLetter].enumerated() {
      let fileSystem = try await closedStore()
      let path = try segment(fileSystem, in: folder)
      let bytes = fileSystem.image[path]
      try fileSystem.remove(path)
      let store = try await fileSystem.openStore(Self.settings, access: .readWrite)
      let queue = store.deviceQueue(for: "d")
      try await queue.enqueue(DeviceMessage(id: "more", body: "y"))
      for message in try await queue.receive(max: 2) {
        try await queue.reject(message.lockToken, reason: "no")
      }
      try await store.close()
      var expected = [4, 3]
      expected[place] = 0
      let reader = try await fileSystem.openStore(Self.settings, access: .readOnly)
      #expect(try await counts(reader) == expected, "\(folder)")
      try await reader.close()
      let found = MemoryFileSystem(
        files: fileSystem.image.merging([path: try #require(bytes)]) { $1 },
        directories: fileSystem.directories)
      let again = try await found.openStore(Self.settings, access: .readWrite)
      try await again.close()
      let all = try await found.openStore(Self.settings, access: .readOnly)
      #expect(try await counts(all) == [4, 3], "\(folder)")
      try await all.close()
    }
  }

  @Test(
    "Where one stream fails the other one goes on, and the next opening copies the rest",
    .timeLimit(.minutes(10)))
  func failedStream() async throws {
    for (place, folder) in [FileNames.feedback, FileNames.deadLetter].enumerated() {
      let files = try await closedStore()
      let path = try segment(files, in: folder)
      let disk = SimulatedDisk(files: files.image, directories: files.directories)
      let store = try await disk.openStore(Self.settings, access: .readWrite)
      disk.plan = .failing(.synchronize, path.string, isLasting: true)
      let queue = store.deviceQueue(for: "d")
      for number in 0..<10 {
        if number > 0 { try await queue.enqueue(DeviceMessage(id: "more", body: "y")) }
        let message = try #require(try await queue.receive(max: 1).first)
        try await queue.reject(message.lockToken, reason: "no")
        // The store syncs the streams by itself, ten times a second.
        while number == 5, disk.failureCount == 0 { await Task.yield() }
      }
      let other = [PartitionID.deadLetters, .feedback][place]
      try await store.untilReadable([10, 11][place], in: other)
      #expect(await failure { try await store.close() }?.cause?.path == path, "\(folder)")
      disk.plan = .none
      let again = try await disk.openStore(Self.settings, access: .readWrite)
      try await again.close()
      let all = try await disk.openStore(Self.settings, access: .readOnly)
      #expect(try await counts(all) == [12, 11], "\(folder)")
      try await all.close()
    }
  }
}
