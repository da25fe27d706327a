import EventModel
import Foundation
import StorageIO
import SystemPackage
import Testing

/// What only the operating system's files can show.
struct SystemFileSystemTests {
  @Test
  func `A link is not taken for what it points to`() throws {
    try withTemporaryDirectory { root in
      let fileSystem = SystemFileSystem()
      try fileSystem.create(root.appending("file"), "x")
      let link = root.appending("link")
      try FileManager.default.createSymbolicLink(
        atPath: link.string, withDestinationPath: root.appending("file").string)
      #expect(try fileSystem.kind(of: link) == .other)
      #expect(try fileSystem.list(root).map(\.kind) == [.file, .other])
    }
  }

  @Test
  func `A file truncated under its map is an error and not a signal`() throws {
    try withTemporaryDirectory { root in
      let file = try SystemFileSystem().create(root.appending("a"), "")
      try file.write([UInt8](repeating: 7, count: 256 * 1024))
      let mapping = try file.map(.kibibytes(256))
      #expect(try mapping.copy(256 * 1024, from: 0).bytes.allSatisfy { $0 == 7 })
      try file.truncate(to: .kibibytes(64))
      #expect(throws: IOFailure(.mappedRead, file.path, .ioError)) {
        try mapping.copy(256 * 1024, from: 0)
      }
      #expect(throws: IOFailure(.mappedRead, file.path, .ioError)) {
        try mapping.copy(1, from: 200 * 1024)
      }
      #expect(try mapping.copy(64 * 1024, from: 0).bytes.allSatisfy { $0 == 7 })
    }
  }

  @Test
  func `Vanished pages are errors on every thread at once`() async throws {
    let url = FileManager.default.temporaryDirectory
      .appendingPathComponent("millrace-map-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: url) }
    let file = try SystemFileSystem().open(FilePath(url.path), .create)
    try file.write([UInt8](repeating: 7, count: 4096))
    let mapping = try file.map(.kibibytes(8))
    let failures = await withTaskGroup(of: Int.self) { group in
      for _ in 0..<8 {
        group.addTask {
          var failures = 0
          for _ in 0..<200 {
            do throws(IOFailure) {
              _ = try mapping.copy(8192, from: 0)
            } catch {
              failures += error.operation == .mappedRead ? 1 : 0
            }
          }
          return failures
        }
      }
      return await group.reduce(0, +)
    }
    #expect(failures == 1600)
  }

  /// Nothing that it holds is lost by refusing it; a memory file system takes such lengths.
  @Test
  func `A file that ends near the last place there is has no size`() throws {
    let path = "/dev/shm/millrace-size-\(UUID().uuidString)"
    let file = try SystemFileSystem().open(FilePath(path), .create)
    defer { try? FileManager.default.removeItem(atPath: path) }
    for (size, holds) in [(1 << 40, true), (1 << 48, true), (1 << 48 + 1, false), (.max, false)] {
      guard truncate(path, size) == 0 else { continue }
      let found = try? file.size().bytes
      #expect(found == (holds ? size : nil))
    }
    #expect(throws: IOFailure(.inspect, file.path, .fileTooLarge)) { try file.size() }
  }

  @Test
  func `A failure reads as one clear line`() {
    let failure = IOFailure(.write, "/x/y", .noSpace)
    #expect(failure.description == "cannot write /x/y: No space left on device")
    #expect(failure.isStorageFull && !failure.isMissing && !failure.isReadOnly)
    #expect(IOFailure(.open, "/x", .noSuchFileOrDirectory).isMissing)
    #expect(IOFailure(.open, "/x", .notDirectory).isMissing)
    #expect(IOFailure(.create, "/x", .readOnlyFileSystem).isReadOnly)
    #expect(IOFailure(.create, "/x", .permissionDenied).isAccessDenied)
    let injected = IOFailure(.synchronizeDirectory, "/x", .ioError, isInjected: true)
    #expect(
      injected.description
        == "cannot synchronize directory /x: Input/output error (injected by a test)")
  }

  @Test
  func `The system's environment has a clock and chance`() throws {
    let environment = EngineEnvironment.system()
    let difference =
      environment.now().microseconds - Int64(Date().timeIntervalSince1970 * 1_000_000)
    #expect(abs(difference) < 3_600_000_000)
    #expect(Set((0..<100).map { _ in environment.random() }).count == 100)
  }
}
