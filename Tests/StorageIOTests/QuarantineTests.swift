import EventModel
import SimulationKit
import StorageIO
import SystemPackage
import Testing

@Suite("The quarantine")
struct QuarantineTests {
  private struct Store {
    let disk = SimulatedDisk()
    let file: any StorageFile
    let directory: FilePath = "/store/quarantine"
    var quarantine: Quarantine { Quarantine(directory, fileSystem: disk) }
    var names: [String] { get throws { try disk.list(directory).map(\.name).sorted() } }

    init() throws {
      try disk.createDirectory("/store")
      try disk.synchronizeDirectory("/")
      file = try disk.open("/store/file", .create)
      try file.write("one two three")
      try file.synchronize()
      try disk.synchronizeDirectory("/store")
    }

    func keep(_ range: Range<Int>, _ name: String) throws -> String {
      try quarantine.keep(range, of: file, name: name)
    }

    func text(_ name: String) throws -> String {
      try disk.open(directory.appending(name), .readOnly).text()
    }
  }

  @Test("The same bytes are kept once under a name")
  func twice() throws {
    let store = try Store()
    for _ in 0..<3 {
      #expect(try store.keep(4..<7, "part") == "part")
      // The rest of a range that ends behind the file is not there.
      #expect(try store.keep(8..<99, "rest") == "rest")
      #expect(try store.keep(13..<99, "nothing") == "nothing")
    }
    #expect(try store.names == ["nothing", "part", "rest"])
    #expect(try store.text("part") == "two")
    #expect(try store.text("rest") == "three")
  }

  @Test("Other bytes, and a copy that was cut short, keep their names")
  func others() throws {
    let store = try Store()
    #expect(try store.keep(0..<3, "part") == "part")
    #expect(try store.keep(4..<7, "part") == "part.1")
    #expect(try store.keep(4..<8, "part") == "part.2")
    try store.disk.createDirectory(store.directory.appending("part.3"))
    for _ in 0..<2 {
      #expect(try store.keep(4..<9, "part") == "part.4")
      #expect(try store.keep(4..<7, "part") == "part.1")
    }
    let texts = try ["part", "part.1", "part.2", "part.4"].map { try store.text($0) }
    #expect(texts == ["one", "two", "two ", "two t"])
    #expect(try store.names.count == 5)
  }

  /// The attempt that made it may have stopped before it was durable.
  @Test("A copy that is there already survives a power failure once it counts as kept")
  func durable() throws {
    let store = try Store()
    try store.disk.createDirectory(store.directory)
    try store.disk.synchronizeDirectory("/store")
    try store.disk.open(store.directory.appending("part"), .create).write("two")
    #expect(try store.keep(4..<7, "part") == "part")
    var random = SeededRandom(seed: 1)
    let after = store.disk.crashImage(using: &random, .dropAll)
    #expect(try after.open(store.directory.appending("part"), .readOnly).text() == "two")
  }

  @Test(
    "One that cannot be read or written stands beside the next",
    arguments: [IOFailure.Operation.open, .read, .write, .synchronize])
  func unreadable(_ operation: IOFailure.Operation) throws {
    let store = try Store()
    #expect(try store.keep(4..<7, "part") == "part")
    store.disk.plan = FaultPlan(failures: [
      .init(.call(operation, pathSuffix: "/part"), .ioError, isLasting: true)
    ])
    #expect(try store.keep(4..<7, "part") == "part.1")
    #expect(try store.keep(4..<7, "part") == "part.1")
  }
}
