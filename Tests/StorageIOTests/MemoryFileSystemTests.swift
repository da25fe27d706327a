import StorageIO
import SystemPackage
import Testing

struct MemoryFileSystemTests {
  @Test
  func `An image goes in and comes out again`() throws {
    let files: [FilePath: [UInt8]] = [
      "/a/b/c": Array(repeating: 3, count: 10_000), "/a/d": [], "/e": [1],
    ]
    let fileSystem = MemoryFileSystem(files: files, directories: ["/empty/inner"])
    #expect(fileSystem.image == files)
    #expect(Set(fileSystem.directories) == ["/a", "/a/b", "/empty", "/empty/inner"])
    let copy = MemoryFileSystem(files: fileSystem.image, directories: fileSystem.directories)
    try copy.open("/e", .readWrite).write([2])
    #expect(copy.image["/e"] == [2])
    #expect(fileSystem.image["/e"] == [1])
  }

  @Test
  func `A copy is the same until one of the two is written to`() throws {
    let files: [FilePath: [UInt8]] = ["/a/b": [1, 2], "/a/c": [3]]
    let original = MemoryFileSystem(files: files, directories: ["/empty"])
    let copy = original.copy()
    #expect(copy.isSame(as: original))
    #expect(copy.directories == original.directories)
    let changed = original.replacing("/a/b", by: [1, 9])
    #expect(changed.image == ["/a/b": [1, 9], "/a/c": [3]])
    #expect(!changed.isSame(as: original))
    let without = original.replacing("/a/c", by: nil)
    #expect(without.image == ["/a/b": [1, 2]])
    #expect(!without.isSame(as: original))
    try copy.open("/a/c", .readWrite).write([4])
    #expect(!copy.isSame(as: original))
    #expect(original.image == files)
  }

  @Test
  func `Pages shared by copies change in one copy only`() throws {
    let seed = UInt64.random(in: .min ... .max)
    var random = TestRandom(state: seed)
    var pages = PagedBytes()
    var model: [UInt8] = []
    var snapshots: [(PagedBytes, [UInt8])] = []
    for step in 0..<400 {
      let position = Int(random.next() % 20_000)
      if random.next() % 8 == 0 {
        pages.resize(to: position)
        if position < model.count {
          model.removeSubrange(position...)
        } else {
          model += [UInt8](repeating: 0, count: position - model.count)
        }
      } else {
        let bytes = (0..<Int(random.next() % 6000)).map { _ in
          UInt8(truncatingIfNeeded: random.next())
        }
        pages.write(bytes, at: position)
        let end = position + bytes.count
        if !bytes.isEmpty {
          if end > model.count { model += [UInt8](repeating: 0, count: end - model.count) }
          model.replaceSubrange(position..<end, with: bytes)
        }
      }
      if step % 50 == 0 { snapshots.append((pages, model)) }
      #expect(pages.array == model, "seed \(seed), step \(step)")
    }
    for (snapshot, expected) in snapshots { #expect(snapshot.array == expected, "seed \(seed)") }
  }
}
