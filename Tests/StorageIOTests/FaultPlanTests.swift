import EventModel
import SimulationKit
import StorageIO
import SystemPackage
import Testing

struct FaultPlanTests {
  private static func work(_ disk: SimulatedDisk) throws {
    try disk.createDirectory("/s")
    let file = try disk.open("/s/a", .create)
    try file.reserve(.bytes(100))
    try file.write("hello")
    try file.truncate(to: .bytes(4))
    try file.synchronize()
    try disk.link("/s/a", to: "/s/b")
    try disk.rename("/s/b", to: "/s/c")
    try disk.remove("/s/c")
    try disk.synchronizeDirectory("/s")
    try disk.synchronizeDirectory("/")
    _ = try disk.list("/s")
    _ = try file.text()
    _ = try file.map(.bytes(4))
  }

  @Test
  func `Mutating calls are counted and reads are not`() throws {
    let disk = SimulatedDisk()
    try Self.work(disk)
    #expect(disk.operationCount == 11)
  }

  @Test
  func `From the planned operation on the machine is dead`() throws {
    for number in 1...11 {
      let disk = SimulatedDisk(.crash(at: number))
      let error = #expect(throws: IOFailure.self) { try Self.work(disk) }
      #expect(error?.reason == .ioError && error?.isInjected == true)
      #expect(disk.operationCount == number && disk.isDead)
      #expect(throws: IOFailure(.list, "/s", .ioError, isInjected: true)) { try disk.list("/s") }
      #expect(throws: IOFailure.self) { try disk.createDirectory("/x") }
      var random = SeededRandom(seed: 1)
      let image = disk.crashImage(using: &random, .keepAll)
      #expect(image.operationCount == 0 && !image.isDead)
      try image.createDirectory("/x")
    }
  }

  @Test
  func `A write in flight when the machine dies may be there in part`() throws {
    let disk = SimulatedDisk(files: ["/a": []], .crash(at: 1))
    let file = try disk.open("/a", .readWrite)
    #expect(throws: IOFailure.self) { try file.write([UInt8](repeating: 1, count: 2048)) }
    var random = SeededRandom(seed: 2)
    let lengths = Set(
      (0..<300).map { _ in
        disk.crashImage(using: &random, .random).image["/a"]?.count
      })
    #expect(lengths.isSuperset(of: [0, 512, 1024, 1536, 2048]))
  }

  @Test
  func `A sync in flight when the machine dies promises nothing`() throws {
    let disk = SimulatedDisk(files: ["/a": []], .crash(at: 2))
    let file = try disk.open("/a", .readWrite)
    try file.write("hello")
    #expect(throws: IOFailure.self) { try file.synchronize() }
    var random = SeededRandom(seed: 2)
    #expect(disk.crashImage(using: &random, .dropAll).image["/a"] == [])
    #expect(disk.crashImage(using: &random, .keepAll).image["/a"] == Array("hello".utf8))
  }

  @Test
  func `The nth call of a kind on a path fails, once or for good`() throws {
    for isLasting in [false, true] {
      let disk = SimulatedDisk(files: ["/a": [], "/b": []])
      disk.plan = FaultPlan(failures: [
        .init(.call(.write, pathSuffix: "/a", nth: 2), .noSpace, isLasting: isLasting)
      ])
      let (a, b) = (try disk.open("/a", .readWrite), try disk.open("/b", .readWrite))
      try a.write("1")
      try b.write("1")
      try b.write("2", at: 1)
      #expect(throws: IOFailure(.write, "/a", .noSpace, isInjected: true)) {
        try a.write("2", at: 1)
      }
      #expect(try a.text() == "1")
      if isLasting {
        #expect(throws: IOFailure.self) { try a.write("3", at: 1) }
      } else {
        try a.write("3", at: 1)
        #expect(try a.text() == "13")
      }
    }
  }

  @Test
  func `A numbered operation and a read can fail`() throws {
    let disk = SimulatedDisk(files: ["/a": [1, 2]])
    disk.plan = FaultPlan(failures: [
      .init(.operation(2), .readOnlyFileSystem), .init(.call(.read), .ioError),
    ])
    try disk.createDirectory("/one")
    #expect(throws: IOFailure(.createDirectory, "/two", .readOnlyFileSystem, isInjected: true)) {
      try disk.createDirectory("/two")
    }
    let file = try disk.open("/a", .readOnly)
    #expect(throws: IOFailure(.read, "/a", .ioError, isInjected: true)) { try file.read(2) }
    #expect(try file.read(2) == [1, 2])
  }

  @Test
  func `A short write leaves its first bytes and fails`() throws {
    let disk = SimulatedDisk(files: ["/a": []])
    disk.plan = FaultPlan(failures: [.init(.call(.write), .ioError, bytesWritten: 3)])
    let file = try disk.open("/a", .readWrite)
    #expect(throws: IOFailure(.write, "/a", .ioError, isInjected: true)) {
      try file.write("hello")
    }
    #expect(try file.text() == "hel")
  }

  @Test
  func `A disk of limited room is full when its bytes are used`() throws {
    let disk = SimulatedDisk(files: ["/a": []])
    disk.plan.capacity = .bytes(100)
    let file = try disk.open("/a", .readWrite)
    try file.reserve(.bytes(60))
    let other = try disk.open("/b", .create)
    #expect(throws: IOFailure(.reserve, "/b", .noSpace, isInjected: true)) {
      try other.reserve(.bytes(41))
    }
    try other.write([UInt8](repeating: 1, count: 30))
    #expect(throws: IOFailure(.write, "/b", .noSpace, isInjected: true)) {
      try other.write([UInt8](repeating: 2, count: 30), at: 30)
    }
    #expect(try other.size() == .bytes(40))
    try file.write([UInt8](repeating: 3, count: 60))
    try disk.remove("/b")
    try file.write([UInt8](repeating: 3, count: 40), at: 60)
    #expect(try file.size() == .bytes(100))
  }

  @Test
  func `Images of a disk share their bytes and not their fate`() throws {
    let files: [FilePath: [UInt8]] = ["/d/a": Array(repeating: 5, count: 300_000), "/b": [1]]
    let disk = SimulatedDisk(files: files, directories: ["/empty"])
    #expect(disk.image == files && disk.durableImage == files)
    #expect(disk.directories == ["/d", "/empty"])
    var random = SeededRandom(seed: 1)
    let image = disk.crashImage(using: &random, .dropAll)
    #expect(image.fingerprint() == disk.fingerprint())
    try image.open("/d/a", .readWrite).write("x", at: 200_000)
    #expect(disk.image == files)
    #expect(image.durableImage == files && image.image != files)
  }
}
