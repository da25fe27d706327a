import Foundation
import Glibc
import Testing

/// Anything at all in a store's place, or in one of its files': an answer, in bounded time.
@Suite("What is no store, or no longer one")
struct StrangeStoreTests {
  private static let hugeSize: off_t = 1 << 40
  /// Whether `tools/torture` asks: for files of every kind, and many.
  private static let isWhole =
    ProcessInfo.processInfo.environment["MILLRACE_DAMAGE_SEED"] != nil
  private static let strayCount = isWhole ? 100_000 : 3_000

  /// One file of each kind, as a part of its path.
  private static let allKinds = [
    "MANIFEST", ".segment", "CHECKPOINTS", "LOCK", ".index", ".footer", ".journal", ".queue",
    ".directory", "feedback/", "dead-letter/",
  ]
  private static let kinds = Array(allKinds.prefix(isWhole ? allKinds.count : 2))

  private func file(_ kind: String, of store: SpoiltStore) throws -> String {
    let found = try store.files.first { $0.contains(kind) }
    return store.path + "/" + (try #require(found, "no \(kind) file"))
  }

  @Test("Nothing, noise and another program's files")
  func others() throws {
    let scratch = try Scratch()
    let tools = EveryTool(scratch: scratch, written: [])
    let path = scratch.path("store")
    try tools.look(at: path, "nothing")
    var random = SeededRandom(seed: 1)
    func noise(_ count: Int) -> Data {
      Data((0..<count).map { _ in UInt8.random(in: 0...255, using: &random) })
    }
    let database = Data("SQLite format 3\0".utf8) + noise(8_176)
    for (what, bytes) in [("noise", noise(9_000)), ("a database", database), ("no bytes", Data())] {
      try bytes.write(to: URL(filePath: path))
      try tools.look(at: path, what)
      try FileManager.default.removeItem(atPath: path)
      try FileManager.default.createDirectory(
        atPath: path + "/partitions/000", withIntermediateDirectories: true)
      try tools.look(at: path, "folders")
      for name in [
        "MANIFEST", "CHECKPOINTS", "partitions/000/00000000000000000000-00000001.segment",
      ] {
        try bytes.write(to: URL(filePath: path + "/" + name))
        try tools.look(at: path, "\(what) as \(name)")
      }
      try FileManager.default.removeItem(atPath: path)
    }
  }

  @Test("Files without a byte, with a hole of a TiB, and what is no file", arguments: kinds)
  func files(_ kind: String) async throws {
    let scratch = try Scratch()
    let store = try await SpoiltStore(eventCount: 1_500, scratch: scratch)
    let manager = FileManager.default
    func spoil(_ what: String, _ change: (String) throws -> Void) throws {
      try store.renew()
      let path = try file(kind, of: store)
      try change(path)
      try store.tools.look(at: store.path, "\(what): \(kind)")
    }
    try spoil("no bytes") { #expect(truncate($0, 0) == 0) }
    try spoil("a hole") { #expect(truncate($0, Self.hugeSize) == 0) }
    try spoil("only a hole") {
      #expect(truncate($0, 0) == 0)
      #expect(truncate($0, Self.hugeSize) == 0)
    }
    try spoil("a folder") {
      try manager.removeItem(atPath: $0)
      try manager.createDirectory(atPath: $0, withIntermediateDirectories: false)
    }
    try spoil("a pipe") {
      try manager.removeItem(atPath: $0)
      #expect(mkfifo($0, 0o600) == 0)
    }
    for target in ["/dev/zero", "/dev/null", "/nowhere", store.path] {
      try spoil("a link to \(target)") {
        try manager.removeItem(atPath: $0)
        try manager.createSymbolicLink(atPath: $0, withDestinationPath: target)
      }
    }
    try spoil("a link to itself") {
      try manager.removeItem(atPath: $0)
      try manager.createSymbolicLink(atPath: $0, withDestinationPath: $0)
    }
  }

  @Test("A store behind a link is the store")
  func behindLink() async throws {
    let scratch = try Scratch()
    let store = try await SpoiltStore(eventCount: 200, scratch: scratch)
    try store.renew()
    let link = scratch.path("link")
    try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: store.path)
    #expect(try store.tools.read(link, "a link").count == 200)
    #expect(try Executable.run(["fsck", link], scratch: scratch).status == 0)
  }

  @Test("Very many files that do not belong")
  func strays() async throws {
    let scratch = try Scratch()
    let store = try await SpoiltStore(eventCount: 200, scratch: scratch)
    try store.renew()
    for folder in ["partitions/000", "queues/00", "partitions"] {
      let path = store.path + "/" + folder
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      for number in 0..<Self.strayCount / 3 {
        let file = open("\(path)/stray-\(number)", O_CREAT | O_WRONLY, 0o600)
        try #require(file >= 0)
        close(file)
      }
    }
    #expect(try store.tools.read(store.path, "strays").count == 200)
    let check = try Executable.run(["fsck", store.path, "--json"], scratch: scratch)
    #expect(check.status == 0, "\(check.errors)")
    try store.tools.look(at: store.path, "strays")
  }

  @Test("A file system that may only be read")
  func readOnly() async throws {
    let scratch = try Scratch()
    let store = try await SpoiltStore(eventCount: 200, scratch: scratch)
    try store.renew()
    guard mount(store.path, store.path, nil, UInt(MS_BIND), nil) == 0 else {
      print("mounting is not permitted here: not tried")
      return
    }
    defer { umount2(store.path, Int32(MNT_DETACH)) }
    let flags = UInt(MS_BIND) | UInt(MS_REMOUNT) | UInt(MS_RDONLY)
    try #require(mount(store.path, store.path, nil, flags, nil) == 0)
    #expect(try store.tools.read(store.path, "read only").count == 200)
    #expect(try Executable.run(["fsck", store.path], scratch: scratch).status == 0)
    try store.tools.look(at: store.path, "read only")
    for writing in [
      ["ingest", store.path, "--format", "ndjson", "--device-field", "/device"],
      ["queue", "send", store.path, "d1", "--body", "x"], ["retain", store.path, "--size", "1MiB"],
    ] {
      let refused = try Executable.run(
        writing, input: #"{"device":"d1"}"# + "\n", scratch: scratch)
      #expect(refused.status == 1 && refused.errors.contains("Read-only"), "\(refused.errors)")
    }
  }

  @Test("A store that vanishes while it is followed", arguments: [true, false])
  func vanished(atOnce: Bool) async throws {
    let scratch = try Scratch()
    let store = try await SpoiltStore(eventCount: 200, scratch: scratch)
    try store.renew()
    let reader = try Executable(["read", store.path, "--follow"], scratch: scratch)
    var printed = 0
    while printed < 200 { printed += try reader.receive().lineEnds.count }
    if atOnce {
      try FileManager.default.moveItem(atPath: store.path, toPath: scratch.path("elsewhere"))
    } else {
      try FileManager.default.removeItem(atPath: store.path)
    }
    let outcome = try reader.finish()
    #expect(outcome.status == 1 && outcome.errors.hasPrefix("millrace: "), "\(outcome.errors)")
  }
}
