import EventModel
import StorageIO
import SystemPackage
import Testing

/// What every file system behind the seam must do, whatever it stores its bytes in.
struct FileSystemContractTests {
  @Test(arguments: Backend.allCases)
  func `A new file keeps what was written to it`(backend: Backend) throws {
    try backend.withDirectory { fileSystem, root in
      let path = root.appending("a")
      let file = try fileSystem.create(path, "hello")
      try file.write("J", at: 0)
      try file.write("!", at: 5)
      #expect(try file.size() == .bytes(6))
      #expect(try fileSystem.text(at: path) == "Jello!")
      #expect(file.path == path)
    }
  }

  @Test(arguments: Backend.allCases)
  func `A read stops at the end of the file`(backend: Backend) throws {
    try backend.withDirectory { fileSystem, root in
      let file = try fileSystem.create(root.appending("a"), "hello")
      #expect(try file.read(100, at: 3) == Array("lo".utf8))
      #expect(try file.read(10, at: 5).isEmpty)
      #expect(try file.read(10, at: 5000).isEmpty)
      #expect(try file.read(0, at: 0).isEmpty)
    }
  }

  @Test(arguments: Backend.allCases)
  func `What is in memory is read without waiting, or nothing is`(backend: Backend) throws {
    try backend.withDirectory { fileSystem, root in
      let file = try fileSystem.create(root.appending("a"), "hello")
      var bytes = [UInt8](repeating: 0, count: 4)
      var span = bytes.mutableSpan
      var buffer = span.mutableBytes
      let count = try file.readResident(into: &buffer, at: FilePosition(1))
      // Not every file system can tell.
      #expect(count == nil || count == 4 && bytes == Array("ello".utf8))
      let mapping = try file.map(.bytes(5))
      span = bytes.mutableSpan
      buffer = span.mutableBytes
      _ = try mapping.copy(into: &buffer, from: .start, seed: 0)
      #expect(mapping.isResident(0..<5) && mapping.isResident(2..<2))
    }
  }

  @Test(arguments: Backend.allCases)
  func `A write beyond the end leaves zeros before it`(backend: Backend) throws {
    try backend.withDirectory { fileSystem, root in
      let file = try fileSystem.create(root.appending("a"), "x")
      try file.write("y", at: 10_000)
      #expect(try file.size() == .bytes(10_001))
      let bytes = try file.read(10_001)
      #expect(bytes.first == UInt8(ascii: "x") && bytes.last == UInt8(ascii: "y"))
      #expect(bytes.dropFirst().dropLast().allSatisfy { $0 == 0 })
    }
  }

  @Test(arguments: Backend.allCases)
  func `A shortened file has forgotten its tail when it grows again`(backend: Backend) throws {
    try backend.withDirectory { fileSystem, root in
      let file = try fileSystem.create(root.appending("a"), "0123456789")
      try file.truncate(to: .bytes(4))
      try file.truncate(to: .bytes(8))
      #expect(try file.read(20) == Array("0123".utf8) + [0, 0, 0, 0])
    }
  }

  @Test(arguments: Backend.allCases)
  func `A reserve changes the space taken and not the length`(backend: Backend) throws {
    try backend.withDirectory { fileSystem, root in
      let file = try fileSystem.create(root.appending("a"), "0123456789")
      try file.synchronize()
      let before = try file.allocatedSize()
      try file.reserve(.mebibytes(1))
      #expect(try file.size() == .bytes(10))
      let reserved = try file.allocatedSize()
      #expect(reserved >= .mebibytes(1))
      try file.truncate(to: .bytes(10))
      #expect(try file.allocatedSize() < .kibibytes(64))
      #expect(try file.allocatedSize() >= before)
      #expect(try file.text() == "0123456789")
    }
  }

  @Test(arguments: Backend.allCases)
  func `A file opened for reading refuses changes`(backend: Backend) throws {
    try backend.withDirectory { fileSystem, root in
      try fileSystem.create(root.appending("a"), "abc")
      let file = try fileSystem.open(root.appending("a"), .readOnly)
      #expect(throws: IOFailure(.write, file.path, .badFileDescriptor)) { try file.write("x") }
      #expect(throws: IOFailure(.truncate, file.path, .invalidArgument)) {
        try file.truncate(to: .zero)
      }
      #expect(try file.text() == "abc")
    }
  }

  @Test(arguments: Backend.allCases)
  func `Opening says why it cannot`(backend: Backend) throws {
    try backend.withDirectory { fileSystem, root in
      let (file, none) = (root.appending("a"), root.appending("none"))
      try fileSystem.create(file, "abc")
      func expect(_ path: FilePath, _ access: FileAccess, _ reason: Errno) {
        let operation = access == .create ? IOFailure.Operation.create : .open
        #expect(throws: IOFailure(operation, path, reason)) { try fileSystem.open(path, access) }
      }
      expect(file, .create, .fileExists)
      expect(root, .create, .fileExists)
      expect(none, .readOnly, .noSuchFileOrDirectory)
      expect(none, .readWrite, .noSuchFileOrDirectory)
      expect(none.appending("x"), .create, .noSuchFileOrDirectory)
      expect(file.appending("x"), .create, .notDirectory)
      expect(file.appending("x"), .readOnly, .notDirectory)
      expect(root, .readOnly, .isDirectory)
      expect(root, .readWrite, .isDirectory)
    }
  }

  @Test(arguments: Backend.allCases)
  func `Kinds and lists tell what is there, sorted`(backend: Backend) throws {
    try backend.withDirectory { fileSystem, root in
      for name in ["b", "a", "Z", "10"] { try fileSystem.create(root.appending(name), "") }
      try fileSystem.createDirectory(root.appending("d"))
      try fileSystem.create(root.appending("d").appending("deep"), "")
      #expect(try fileSystem.list(root).map(\.name) == ["10", "Z", "a", "b", "d"])
      #expect(try fileSystem.list(root).map(\.kind) == [.file, .file, .file, .file, .directory])
      #expect(try fileSystem.kind(of: root.appending("a")) == .file)
      #expect(try fileSystem.kind(of: root) == .directory)
      #expect(try fileSystem.kind(of: root.appending("none")) == nil)
      #expect(try fileSystem.kind(of: root.appending("a").appending("x")) == nil)
      let (none, file) = (root.appending("none"), root.appending("a"))
      #expect(throws: IOFailure(.list, none, .noSuchFileOrDirectory)) {
        try fileSystem.list(none)
      }
      #expect(throws: IOFailure(.list, file, .notDirectory)) { try fileSystem.list(file) }
    }
  }

  @Test(arguments: Backend.allCases)
  func `Directories are made once and removed empty`(backend: Backend) throws {
    try backend.withDirectory { fileSystem, root in
      let (directory, inner) = (root.appending("d"), root.appending("d").appending("e"))
      #expect(throws: IOFailure(.createDirectory, inner, .noSuchFileOrDirectory)) {
        try fileSystem.createDirectory(inner)
      }
      try fileSystem.createDirectory(directory)
      try fileSystem.createDirectory(inner)
      #expect(throws: IOFailure(.createDirectory, directory, .fileExists)) {
        try fileSystem.createDirectory(directory)
      }
      #expect(throws: IOFailure(.remove, directory, .directoryNotEmpty)) {
        try fileSystem.removeDirectory(directory)
      }
      #expect(throws: IOFailure(.remove, inner, .isDirectory)) { try fileSystem.remove(inner) }
      try fileSystem.removeDirectory(inner)
      try fileSystem.synchronizeDirectory(directory)
      try fileSystem.removeDirectory(directory)
      #expect(try fileSystem.list(root).isEmpty)
      #expect(throws: IOFailure(.remove, directory, .noSuchFileOrDirectory)) {
        try fileSystem.removeDirectory(directory)
      }
      let file = root.appending("f")
      try fileSystem.create(file, "")
      #expect(throws: IOFailure(.remove, file, .notDirectory)) {
        try fileSystem.removeDirectory(file)
      }
    }
  }

  @Test(arguments: Backend.allCases)
  func `A rename replaces what the target named`(backend: Backend) throws {
    try backend.withDirectory { fileSystem, root in
      let (old, new) = (root.appending("old"), root.appending("new"))
      let replaced = try fileSystem.create(new, "before")
      try fileSystem.create(old, "after")
      try fileSystem.rename(old, to: new)
      #expect(try fileSystem.text(at: new) == "after")
      #expect(try fileSystem.kind(of: old) == nil)
      #expect(try replaced.text() == "before")
      try fileSystem.rename(new, to: new)
      #expect(try fileSystem.text(at: new) == "after")
    }
  }

  @Test(arguments: Backend.allCases)
  func `A rename between a file and a directory is refused`(backend: Backend) throws {
    try backend.withDirectory { fileSystem, root in
      let (file, directory) = (root.appending("f"), root.appending("d"))
      try fileSystem.create(file, "x")
      try fileSystem.createDirectory(directory)
      #expect(throws: IOFailure(.rename, file, .isDirectory)) {
        try fileSystem.rename(file, to: directory)
      }
      #expect(throws: IOFailure(.rename, directory, .notDirectory)) {
        try fileSystem.rename(directory, to: file)
      }
      #expect(throws: IOFailure(.rename, directory, .invalidArgument)) {
        try fileSystem.rename(directory, to: directory.appending("x"))
      }
      let none = root.appending("none")
      #expect(throws: IOFailure(.rename, none, .noSuchFileOrDirectory)) {
        try fileSystem.rename(none, to: file)
      }
    }
  }

  @Test(arguments: Backend.allCases)
  func `A directory is renamed with all that is in it`(backend: Backend) throws {
    try backend.withDirectory { fileSystem, root in
      let (old, new) = (root.appending("old"), root.appending("new"))
      try fileSystem.createDirectory(old)
      try fileSystem.create(old.appending("f"), "inside")
      try fileSystem.createDirectory(new)
      try fileSystem.rename(old, to: new)
      #expect(try fileSystem.text(at: new.appending("f")) == "inside")
      try fileSystem.createDirectory(old)
      #expect(throws: IOFailure(.rename, old, .directoryNotEmpty)) {
        try fileSystem.rename(old, to: new)
      }
    }
  }

  @Test(arguments: Backend.allCases)
  func `A linked file has two names until the last is removed`(backend: Backend) throws {
    try backend.withDirectory { fileSystem, root in
      let (first, second) = (root.appending("1"), root.appending("2"))
      let file = try fileSystem.create(first, "x")
      try fileSystem.link(first, to: second)
      #expect(throws: IOFailure(.link, first, .fileExists)) {
        try fileSystem.link(first, to: second)
      }
      try file.write("y")
      try fileSystem.remove(first)
      #expect(try fileSystem.text(at: second) == "y")
      try fileSystem.remove(second)
      #expect(throws: IOFailure(.remove, second, .noSuchFileOrDirectory)) {
        try fileSystem.remove(second)
      }
      try file.write("z")
      #expect(try file.text() == "z")
    }
  }

  @Test(arguments: Backend.allCases)
  func `A lock excludes everyone else until it is released`(backend: Backend) throws {
    try backend.withDirectory { fileSystem, root in
      let path = root.appending("LOCK")
      #expect(try fileSystem.lockHolder(of: path) == nil)
      #expect(try fileSystem.kind(of: path) == nil)
      var held: (any FileLock)?
      if case .acquired(let lock) = try fileSystem.lock(path) { held = lock }
      #expect(held != nil)
      let holder = try #require(try fileSystem.lockHolder(of: path))
      #expect(try fileSystem.text(at: path) == holder.processID.map { "\($0)\n" })
      guard case .held(by: let other) = try fileSystem.lock(path) else {
        Issue.record("the lock was taken twice")
        return
      }
      #expect(other == holder)
      held = nil
      #expect(try fileSystem.lockHolder(of: path) == nil)
      guard case .acquired = try fileSystem.lock(path) else {
        Issue.record("the released lock cannot be taken")
        return
      }
    }
  }

  @Test(arguments: Backend.allCases)
  func `A map outlives its file and its name`(backend: Backend) throws {
    try backend.withDirectory { fileSystem, root in
      let path = root.appending("a")
      let mapping: FileMapping
      do {
        let file = try fileSystem.create(path, "123456789")
        mapping = try file.map(.bytes(9))
        try fileSystem.remove(path)
      }
      let whole = try mapping.copy(9, from: 0)
      #expect(whole.bytes == Array("123456789".utf8))
      #expect(whole.checksum == 0xE306_9283)
      let first = try mapping.copy(4, from: 0)
      #expect(try mapping.copy(5, from: 4, seed: first.checksum).checksum == 0xE306_9283)
      #expect(try mapping.copy(0, from: 9, seed: 7).checksum == 7)
    }
  }

  @Test(arguments: Backend.allCases)
  func `An empty map can be made`(backend: Backend) throws {
    try backend.withDirectory { fileSystem, root in
      let mapping = try fileSystem.create(root.appending("a"), "").map(.zero)
      #expect(try mapping.copy(0, from: 0, seed: 3).checksum == 3)
    }
  }

  @Test(arguments: Backend.allCases)
  func `A page that vanished under a map is an error`(backend: Backend) throws {
    try backend.withDirectory { fileSystem, root in
      let file = try fileSystem.create(root.appending("a"), "")
      try file.write([UInt8](repeating: 1, count: 4096))
      let mapping = try file.map(.bytes(64 * 1024))
      #expect(try mapping.copy(4096, from: 0).bytes == [UInt8](repeating: 1, count: 4096))
      for _ in 0..<3 {
        #expect(throws: IOFailure(.mappedRead, file.path, .ioError)) {
          try mapping.copy(64 * 1024 - 100, from: 100)
        }
      }
      #expect(try mapping.copy(96, from: 4000).bytes == [UInt8](repeating: 1, count: 96))
    }
  }

  @Test(arguments: Backend.allCases)
  func `An atomic replace clears a left-over and swaps the bytes`(backend: Backend) throws {
    try backend.withDirectory { fileSystem, root in
      let path = root.appending("MANIFEST")
      try fileSystem.create(root.appending("MANIFEST.new"), "left over and longer")
      for text in ["first", "second"] {
        try AtomicReplace.replace(path, with: Array(text.utf8).span.bytes, in: fileSystem)
        #expect(try fileSystem.text(at: path) == text)
        #expect(try fileSystem.list(root).map(\.name) == ["MANIFEST"])
      }
    }
  }
}
