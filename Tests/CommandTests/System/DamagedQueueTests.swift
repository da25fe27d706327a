import Foundation
import Testing

/// Queues of which something is damaged: what is left is printed, and what is not is told.
@Suite("Damaged queues by command")
struct DamagedQueueTests {
  /// A store with messages in queue files and a journal, as a released version left it.
  private static let golden = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "GoldenFileTests/version-1/queues")

  private let scratch: Scratch
  private let store: String

  init() throws {
    scratch = try Scratch()
    store = scratch.path("store")
    try FileManager.default.copyItem(atPath: Self.golden.path, toPath: store)
  }

  private var journals: [String] {
    get throws {
      try FileManager.default.subpathsOfDirectory(atPath: store).sorted()
        .filter { $0.hasSuffix(".journal") }.map { store + "/" + $0 }
    }
  }

  /// The path of a device's queue file.
  private func file(of device: String) throws -> String {
    let names = try FileManager.default.subpathsOfDirectory(atPath: store)
    return store + "/" + (try #require(names.first { $0.contains("/\(device)-") }))
  }

  private func garble(_ path: String, from start: Int) throws {
    var bytes = try Data(contentsOf: URL(filePath: path))
    for index in start..<bytes.count { bytes[index] = 0x55 }
    try bytes.write(to: URL(filePath: path))
  }

  @discardableResult
  private func run(_ arguments: [String], status: Int32) throws -> Executable.Outcome {
    let outcome = try Executable.run(arguments, scratch: scratch)
    #expect(outcome.status == status, "\(arguments): \(outcome.errors)")
    return outcome
  }

  /// What looks at queues ends as for a gap, and says why.
  private func expectTold(_ word: String, _ what: String) throws {
    for arguments in [
      ["queue", "list", store], ["queue", "peek", store, "roof"], ["stat", store],
    ] {
      let outcome = try run(arguments, status: 2)
      #expect(outcome.errors.hasPrefix("millrace: "), "\(what), \(arguments): \(outcome.errors)")
      #expect(outcome.errors.contains(word), "\(what), \(arguments): \(outcome.errors)")
    }
  }

  @Test("A journal that is gone, cut or garbled is told by all that look at queues")
  func journal() throws {
    for arguments in [
      ["queue", "list", store], ["queue", "peek", store, "roof"], ["stat", store],
    ] {
      #expect(try run(arguments, status: 0).errors == "")
    }
    let last = try #require(try journals.last)
    let whole = try Data(contentsOf: URL(filePath: last))
    // The first frame of the active segment; then the settlements at its end.
    try garble(last, from: 200)
    try expectTold("journal", "garbled")
    try whole.prefix(400).write(to: URL(filePath: last))
    try expectTold("journal", "cut")
    try FileManager.default.removeItem(atPath: last)
    try expectTold("journal", "the last is gone")
    for path in try journals { try FileManager.default.removeItem(atPath: path) }
    try expectTold("journal", "all are gone")
  }

  @Test("A message that cannot be read is told by peek and receive, which go on with the next")
  func message() throws {
    try run(["queue", "send", store, "roof", "--body", "new"], status: 0)
    try garble(try file(of: "roof"), from: 200)
    let peeked = try run(["queue", "peek", store, "roof", "--max", "9"], status: 2)
    #expect(peeked.lines.count == 1 && peeked.lines[0].contains(#""body":"new""#))
    #expect(peeked.errors.contains("message 6 to roof cannot be read"), "\(peeked.errors)")
    let first = try run(["queue", "peek", store, "roof"], status: 2)
    #expect(first.output.isEmpty && first.errors.contains("message 6 to roof"))
    let listed = try run(["queue", "list", store], status: 2)
    #expect(listed.lines.count >= 4 && listed.errors.contains("message 6 to roof"))
    let received = try run(["queue", "receive", store, "roof", "--settle", "complete"], status: 2)
    #expect(received.lines.count == 1 && received.lines[0].contains(#""body":"new""#))
    #expect(received.errors.contains("message 6 to roof cannot be read"), "\(received.errors)")
    #expect(try run(["queue", "receive", store, "roof"], status: 2).output.isEmpty)
    #expect(try run(["queue", "receive", store, "attic"], status: 0).lines.count == 1)
  }

  @Test(
    "What is no file in the place of one keeps nobody from the others", arguments: [true, false])
  func noFile(isFolder: Bool) throws {
    func replace(_ path: String) throws {
      try FileManager.default.removeItem(atPath: path)
      if isFolder {
        try FileManager.default.createDirectory(
          atPath: path, withIntermediateDirectories: false)
      } else {
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: path)
      }
    }
    try replace(try file(of: "roof"))
    let listed = try run(["queue", "list", store, "--json"], status: 2)
    #expect(listed.lines.count == 3 && listed.errors.contains("message 6 to roof"))
    // The directory says nothing that the files do not say.
    try replace(store + "/queues/00000001.directory")
    let without = try run(["queue", "list", store, "--json"], status: 0)
    #expect(without.lines.count == 2, "\(without.errors)")
    try run(["queue", "send", store, "attic", "--body", "new"], status: 0)
    let received = try run(["queue", "receive", store, "attic", "--max", "9"], status: 0)
    #expect(received.lines.count == 4)
  }

  @Test("A queue file that is gone is damage to dump as it is to fsck")
  func goneFile() throws {
    #expect(try run(["dump", store], status: 0).errors == "")
    let path = try file(of: "roof")
    try FileManager.default.removeItem(atPath: path)
    let dumped = try run(["dump", store, "--json"], status: 2)
    let lines = dumped.lines.filter { $0.contains(#""kind":"missing-file""#) }
    #expect(lines.count == 1 && lines[0].contains("roof-00000001.queue"))
    #expect(try run(["fsck", store], status: 4).output.isEmpty == false)
  }
}
