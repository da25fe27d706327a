import EventModel
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// What a power loss may take from the simulated disk, and what it may not.
struct SimulatedDiskTests {
  /// A disk with a durable empty directory `/s`.
  private static func disk() -> SimulatedDisk { SimulatedDisk(files: [:], directories: ["/s"]) }

  private static func text(_ disk: SimulatedDisk, _ path: FilePath) -> String? {
    disk.image[path].map { String(decoding: $0, as: UTF8.self) }
  }

  /// Makes a durable file.
  @discardableResult
  private static func durable(
    _ disk: SimulatedDisk, _ path: FilePath, _ text: String
  ) throws -> any StorageFile {
    let file = try disk.create(path, text)
    try file.synchronize()
    try disk.synchronizeDirectory(path.removingLastComponent())
    return file
  }

  private static func crash(_ disk: SimulatedDisk, _ style: CrashStyle) -> SimulatedDisk {
    var random = SeededRandom(seed: 1)
    return disk.crashImage(using: &random, style)
  }

  @Test
  func `Unsynced bytes vanish and synced ones stay`() throws {
    let disk = Self.disk()
    let file = try Self.durable(disk, "/s/a", "durable")
    try file.write(" and more", at: 7)
    #expect(Self.text(disk, "/s/a") == "durable and more")
    #expect(Self.text(Self.crash(disk, .dropAll), "/s/a") == "durable")
    #expect(Self.text(Self.crash(disk, .keepAll), "/s/a") == "durable and more")
    try file.synchronize()
    #expect(!disk.hasUnsyncedChanges)
    #expect(Self.text(Self.crash(disk, .dropAll), "/s/a") == "durable and more")
  }

  @Test
  func `An unsynced truncation is undone`() throws {
    let disk = Self.disk()
    let file = try Self.durable(disk, "/s/a", "0123456789")
    try file.truncate(to: .bytes(3))
    #expect(Self.text(Self.crash(disk, .dropAll), "/s/a") == "0123456789")
    try file.synchronize()
    #expect(Self.text(Self.crash(disk, .dropAll), "/s/a") == "012")
  }

  @Test
  func `A synced file without a synced directory loses its name`() throws {
    let disk = Self.disk()
    let file = try disk.create("/s/a", "bytes")
    try file.synchronize()
    #expect(Self.crash(disk, .dropAll).image.isEmpty)
    try disk.synchronizeDirectory("/s")
    #expect(Self.text(Self.crash(disk, .dropAll), "/s/a") == "bytes")
  }

  @Test
  func `A synced name without synced bytes is an empty file`() throws {
    let disk = Self.disk()
    try disk.create("/s/a", "bytes")
    try disk.synchronizeDirectory("/s")
    #expect(Self.text(Self.crash(disk, .dropAll), "/s/a") == "")
  }

  @Test
  func `A removed name comes back until the directory is synced`() throws {
    let disk = Self.disk()
    try Self.durable(disk, "/s/a", "bytes")
    try disk.remove("/s/a")
    #expect(Self.text(Self.crash(disk, .dropAll), "/s/a") == "bytes")
    try disk.synchronizeDirectory("/s")
    #expect(Self.crash(disk, .dropAll).image.isEmpty)
  }

  @Test
  func `A directory whose own name is not durable is lost with all in it`() throws {
    let disk = Self.disk()
    try disk.createDirectory("/s/d")
    try Self.durable(disk, "/s/d/a", "bytes")
    let crashed = Self.crash(disk, .dropAll)
    #expect(crashed.directories == ["/s"] && crashed.image.isEmpty)
    try disk.synchronizeDirectory("/s")
    #expect(Self.text(Self.crash(disk, .dropAll), "/s/d/a") == "bytes")
  }

  @Test
  func `A rename leaves the old file or the new one, and never neither`() throws {
    let disk = Self.disk()
    try Self.durable(disk, "/s/M", "old")
    let file = try disk.create("/s/M.new", "new")
    try file.synchronize()
    try disk.rename("/s/M.new", to: "/s/M")
    var random = SeededRandom(seed: 7)
    var seen: Set<String> = []
    for _ in 0..<200 {
      let image = disk.crashImage(using: &random, .random)
      let text = try #require(Self.text(image, "/s/M"))
      #expect(text == "old" || text == "new")
      seen.insert(text)
      if text == "new" { #expect(image.image["/s/M.new"] == nil) }
    }
    #expect(seen == ["old", "new"])
  }

  @Test
  func `A file moved between directories is never in neither`() throws {
    let disk = Self.disk()
    try disk.createDirectory("/s/d")
    try disk.synchronizeDirectory("/s")
    try Self.durable(disk, "/s/a", "bytes")
    try disk.rename("/s/a", to: "/s/d/a")
    var random = SeededRandom(seed: 3)
    func places() -> Set<Set<FilePath>> {
      Set((0..<200).map { _ in Set(disk.crashImage(using: &random, .random).image.keys) })
    }
    #expect(places() == [["/s/a"], ["/s/d/a"], ["/s/a", "/s/d/a"]])
    try disk.synchronizeDirectory("/s")
    #expect(places() == [["/s/d/a"]])
  }

  @Test
  func `Changes of one name survive in their order`() throws {
    let disk = Self.disk()
    try Self.durable(disk, "/s/a", "first")
    try disk.remove("/s/a")
    try disk.create("/s/a", "second").synchronize()
    var random = SeededRandom(seed: 5)
    let texts = Set(
      (0..<200).map { _ in
        Self.text(disk.crashImage(using: &random, .random), "/s/a") ?? "none"
      })
    #expect(texts == ["first", "none", "second"])
  }

  @Test
  func `After a failed sync a later one does not save the bytes`() throws {
    let disk = Self.disk()
    let file = try Self.durable(disk, "/s/a", "AAAA")
    try file.write("BBBB", at: 4)
    disk.plan = FaultPlan(failures: [.init(.call(.synchronize, pathSuffix: "/a"), .ioError)])
    #expect(throws: IOFailure(.synchronize, "/s/a", .ioError, isInjected: true)) {
      try file.synchronize()
    }
    try file.write("CCCC", at: 8)
    try file.synchronize()
    #expect(Self.text(disk, "/s/a") == "AAAABBBBCCCC")
    #expect(Self.text(Self.crash(disk, .dropAll), "/s/a") == "AAAA\0\0\0\0CCCC")
    #expect(Self.text(Self.crash(disk, .keepAll), "/s/a") == "AAAA\0\0\0\0CCCC")
    let process = Self.crash(disk, .processOnly)
    #expect(Self.text(process, "/s/a") == "AAAABBBBCCCC")
    #expect(Self.text(Self.crash(process, .keepAll), "/s/a") == "AAAA\0\0\0\0CCCC")
  }

  @Test
  func `A write is torn at sectors only`() throws {
    let disk = Self.disk()
    let file = try disk.create("/s/a", "")
    try file.write([UInt8](repeating: 1, count: 8192))
    try file.synchronize()
    try disk.synchronizeDirectory("/s")
    try file.write([UInt8](repeating: 2, count: 5000), at: 100)
    var random = SeededRandom(seed: 11)
    var tornImages = 0
    for _ in 0..<300 {
      let bytes = try #require(disk.crashImage(using: &random, .random).image["/s/a"])
      #expect(bytes.count == 8192)
      let changed = bytes.indices.filter { $0 > 0 && bytes[$0] != bytes[$0 - 1] }
      #expect(changed.allSatisfy { $0 % 512 == 0 || $0 == 100 || $0 == 5100 })
      #expect(bytes[..<100].allSatisfy { $0 == 1 } && bytes[5100...].allSatisfy { $0 == 1 })
      if changed.count > 2 { tornImages += 1 }
    }
    #expect(tornImages > 30)
  }

  @Test
  func `Lost appends can leave nothing, zeros, garbage or another file's bytes`() throws {
    let disk = Self.disk()
    try Self.durable(disk, "/s/other", String(repeating: "o", count: 4096))
    let file = try Self.durable(disk, "/s/a", "")
    try file.write([UInt8](repeating: 1, count: 4096))
    var random = SeededRandom(seed: 13)
    var seen: Set<String> = []
    for _ in 0..<500 {
      let bytes = try #require(disk.crashImage(using: &random, .random).image["/s/a"])
      #expect(bytes.count <= 4096)
      if bytes.count < 4096 { seen.insert("short") }
      if bytes.contains(0) { seen.insert("zeros") }
      if bytes.contains(UInt8(ascii: "o")) { seen.insert("stale") }
      if Set(bytes).count > 50 { seen.insert("garbage") }
      if bytes.count == 4096, bytes.allSatisfy({ $0 == 1 }) { seen.insert("whole") }
    }
    #expect(seen == ["short", "zeros", "stale", "garbage", "whole"])
  }

  @Test
  func `A prefix crash keeps the changes before one moment`() throws {
    let disk = Self.disk()
    let file = try Self.durable(disk, "/s/a", "")
    for index in 0..<5 { try file.write("\(index)", at: index) }
    try disk.create("/s/b", "x")
    var random = SeededRandom(seed: 17)
    let states = Set(
      (0..<300).map { _ -> String in
        let image = disk.crashImage(using: &random, .prefix)
        return "\(Self.text(image, "/s/a") ?? "-") \(Self.text(image, "/s/b") ?? "-")"
      })
    #expect(states == [" -", "0 -", "01 -", "012 -", "0123 -", "01234 -", "01234 ", "01234 x"])
  }

  @Test
  func `A killed process leaves its writes, not its locks, and nothing more durable`() throws {
    let disk = Self.disk()
    guard case .acquired(let lock) = try disk.lock("/s/LOCK") else {
      Issue.record("an unheld lock was refused")
      return
    }
    try withExtendedLifetime(lock) {
      let file = try Self.durable(disk, "/s/a", "synced")
      try file.write("+unsynced", at: 6)
      let image = Self.crash(disk, .processOnly)
      #expect(try image.lockHolder(of: "/s/LOCK") == nil)
      #expect(try disk.lockHolder(of: "/s/LOCK") != nil)
      #expect(Self.text(image, "/s/a") == "synced+unsynced")
      #expect(Self.text(Self.crash(image, .dropAll), "/s/a") == "synced")
      try image.open("/s/a", .readWrite).synchronize()
      #expect(Self.text(Self.crash(image, .dropAll), "/s/a") == "synced+unsynced")
      #expect(Self.text(Self.crash(disk, .dropAll), "/s/a") == "synced")
    }
  }

  @Test
  func `The same seed finds the same crash state, another finds others`() throws {
    let disk = Self.disk()
    let file = try Self.durable(disk, "/s/a", "")
    for index in 0..<20 { try file.write([UInt8](repeating: 1, count: 600), at: index * 600) }
    func prints(_ seed: UInt64) -> [UInt64] {
      var random = SeededRandom(seed: seed)
      return (0..<50).map { _ in disk.crashImage(using: &random, .random).fingerprint() }
    }
    #expect(prints(1) == prints(1))
    #expect(prints(1) != prints(2))
    #expect(Set(prints(1)).count > 40)
  }
}
