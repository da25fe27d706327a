import Foundation
import Glibc
import Testing

/// A real store, spoilt in several ways at once by random, given to every tool.
@Suite("Stores that are spoilt by random")
struct MangledStoreTests {
  private static let roundCount = 4
  private static let changeCounts = [1, 1, 2, 3, 6]

  private static let seed =
    ProcessInfo.processInfo.environment["MILLRACE_MANGLE_SEED"].flatMap(UInt64.init) ?? 1

  @Test("Each tool answers, nothing is shown that was never written, and a repair loses nothing")
  func mangled() async throws {
    let scratch = try Scratch()
    let store = try await SpoiltStore(eventCount: 3_000, scratch: scratch)
    var random = SeededRandom(seed: Self.seed)
    for round in 0..<Self.roundCount {
      try store.renew()
      var changes: [String] = []
      for _ in 0..<(Self.changeCounts.randomElement(using: &random) ?? 1) {
        changes.append(try change(store, &random))
      }
      try store.tools.look(at: store.path, "seed \(Self.seed), round \(round): \(changes)")
    }
    print("counted: \(Self.roundCount) mangled stores")
  }

  /// The looking itself: it must notice an event that was never appended, and one that is gone.
  @Test("An event that nobody knows, and one that a repair has lost, are noticed")
  func notBlind() async throws {
    let scratch = try Scratch()
    let store = try await SpoiltStore(eventCount: 20, scratch: scratch)
    try store.renew()
    let events = try store.tools.read(store.path, "as it was written")
    let other = EveryTool(scratch: scratch, written: Set(events.dropFirst()))
    withKnownIssue { _ = try other.read(store.path, "canary") }
    let segment = try #require(try store.files.last { $0.hasSuffix(".segment") })
    #expect(truncate("\(store.path)/\(segment)", 0) == 0)
    withKnownIssue { try store.tools.repair(store.path, events, "canary") }
  }

  /// Does something to one of the store's files, and says what.
  private func change(_ store: SpoiltStore, _ random: inout SeededRandom) throws -> String {
    let files = try store.files
    guard let name = files.randomElement(using: &random),
      let other = files.randomElement(using: &random)
    else { return "nothing is left" }
    let path = store.path + "/" + name
    let size = Int(try FileManager.default.size(of: path))
    switch Int.random(in: 0..<12, using: &random) {
    case 0:
      try FileManager.default.removeItem(atPath: path)
      return "\(name) is gone"
    case 1:
      let length = Int.random(in: 0...size, using: &random)
      truncate(path, off_t(length))
      return "\(name) is cut to \(length)"
    case 2:
      let length = size + Int.random(in: 1...1 << 20, using: &random)
      truncate(path, off_t(length))
      return "\(name) is \(length) long"
    case 3:
      try FileManager.default.removeItem(atPath: path)
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
      return "\(name) is a folder"
    case 4:
      let targets = ["/dev/zero", "/nowhere", path, store.path, "/proc/self/exe"]
      let target = targets.randomElement(using: &random) ?? path
      try FileManager.default.removeItem(atPath: path)
      try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: target)
      return "\(name) is a link to \(target)"
    case 5:
      let noise = (0..<Int.random(in: 0..<90_000, using: &random)).map { _ in
        UInt8.random(in: 0...255, using: &random)
      }
      try write(Data(noise), to: path)
      return "\(name) is noise"
    case 6:
      try write(try bytes(of: store.path + "/" + other), to: path)
      return "\(name) is \(other)"
    case 7:
      let folder = (name as NSString).deletingLastPathComponent
      guard !folder.isEmpty else { return "nothing" }
      try FileManager.default.removeItem(atPath: store.path + "/" + folder)
      return "\(folder) is gone"
    case 8:
      try FileManager.default.removeItem(atPath: path)
      mkfifo(path, 0o600)
      return "\(name) is a pipe"
    default:
      var bytes = try bytes(of: path)
      guard !bytes.isEmpty else { return "nothing" }
      let start = Int.random(in: 0..<bytes.count, using: &random)
      let count = [1, 1, 64, 512, 4_096].randomElement(using: &random) ?? 1
      for index in start..<min(bytes.count, start + count) {
        bytes[index] ^= UInt8.random(in: 1...255, using: &random)
      }
      try write(bytes, to: path)
      return "\(count) bytes of \(name) from \(start) on are others"
    }
  }

  /// A file's bytes; none of what is no file.
  private func bytes(of path: String) throws -> Data {
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return Data() }
    return try Data(contentsOf: URL(filePath: path))
  }

  private func write(_ bytes: Data, to path: String) throws {
    try FileManager.default.removeItem(atPath: path)
    try bytes.write(to: URL(filePath: path))
  }
}

extension FileManager {
  /// The length of what a name stands for, a link itself.
  fileprivate func size(of path: String) throws -> UInt64 {
    try #require(attributesOfItem(atPath: path)[.size] as? UInt64)
  }
}
