package import SystemPackage

/// The names of a file system in memory: directories and what their entries mean, by number.
///
/// It knows the rules and the errors of the operating system's calls on names, and nothing about
/// bytes: the memory file system and the simulated disk keep their files beside it.
package struct DirectoryTree: Sendable, Hashable {
  package enum Entry: Sendable, Hashable {
    case file(Int)
    case directory(Int)

    package var kind: FileKind {
      switch self {
      case .file: .file
      case .directory: .directory
      }
    }
  }

  /// A place for a name, taken or not.
  package struct Slot: Sendable, Hashable {
    package let directory: Int
    package let name: String

    package init(directory: Int, name: String) {
      self.directory = directory
      self.name = name
    }
  }

  package static let root = 0

  package var directories: [Int: [String: Entry]] = [root: [:]]

  package init() {}

  package func entry(at slot: Slot) -> Entry? { directories[slot.directory]?[slot.name] }

  /// The names on the way to a path, `.` and `..` resolved.
  ///
  /// Splits the text, byte by byte: to take a `FilePath` apart, or to look for whole characters,
  /// costs more than all else that a call does here.
  package static func names(of path: FilePath) -> [String] {
    var names: [String] = []
    for part in path.string.utf8.split(separator: UInt8(ascii: "/")) {
      let name = String(Substring(part))
      if name == ".." { _ = names.popLast() } else if name != "." { names.append(name) }
    }
    return names
  }

  /// The directory a path names.
  package func directory(at path: FilePath) throws(Errno) -> Int {
    try directory(at: Self.names(of: path)[...])
  }

  private func directory(at names: ArraySlice<String>) throws(Errno) -> Int {
    var directory = Self.root
    for name in names {
      switch directories[directory]?[name] {
      case .directory(let child): directory = child
      case .file: throw .notDirectory
      case nil: throw .noSuchFileOrDirectory
      }
    }
    return directory
  }

  /// Where a path's last component is or would be.
  package func slot(for path: FilePath) throws(Errno) -> Slot {
    let names = Self.names(of: path)
    guard let name = names.last else { throw .resourceBusy }
    return Slot(directory: try directory(at: names.dropLast()), name: name)
  }

  /// What a path names, nil if it or a directory above it does not exist.
  package func entry(of path: FilePath) -> Entry? {
    var entry = Entry.directory(Self.root)
    for name in Self.names(of: path) {
      guard case .directory(let directory) = entry, let next = directories[directory]?[name]
      else { return nil }
      entry = next
    }
    return entry
  }

  /// The file a path names.
  package func file(at path: FilePath) throws(Errno) -> Int {
    if Self.names(of: path).isEmpty { throw .isDirectory }
    switch entry(at: try slot(for: path)) {
    case .file(let file): return file
    case .directory: throw .isDirectory
    case nil: throw .noSuchFileOrDirectory
    }
  }

  package func list(_ path: FilePath) throws(Errno) -> [DirectoryEntry] {
    let entries = directories[try directory(at: path)] ?? [:]
    return entries.map { DirectoryEntry(name: $0.key, kind: $0.value.kind) }
      .sorted { $0.name < $1.name }
  }

  /// The slot for a new name, which must be free.
  package func freeSlot(for path: FilePath) throws(Errno) -> Slot {
    if Self.names(of: path).isEmpty { throw .fileExists }
    let slot = try slot(for: path)
    guard entry(at: slot) == nil else { throw .fileExists }
    return slot
  }

  package mutating func set(_ slot: Slot, _ entry: Entry?) {
    directories[slot.directory, default: [:]][slot.name] = entry
  }

  /// The slots a rename takes from and fills, checked; nil if it would change nothing.
  package func checkRename(
    _ path: FilePath, to target: FilePath
  ) throws(Errno) -> (source: Slot, target: Slot)? {
    let from = try slot(for: path)
    guard let moved = entry(at: from) else { throw .noSuchFileOrDirectory }
    let to = try slot(for: target)
    guard let replaced = entry(at: to) else {
      try checkNotInside(moved, to)
      return (from, to)
    }
    if moved == replaced { return nil }
    try checkNotInside(moved, to)
    switch (moved, replaced) {
    case (.file, .directory): throw .isDirectory
    case (.directory, .file): throw .notDirectory
    case (.directory, .directory(let directory)):
      guard directories[directory, default: [:]].isEmpty else { throw .directoryNotEmpty }
    case (.file, .file): break
    }
    return (from, to)
  }

  /// A directory cannot be moved below itself.
  private func checkNotInside(_ moved: Entry, _ target: Slot) throws(Errno) {
    guard case .directory(let directory) = moved else { return }
    var below = [directory]
    while let next = below.popLast() {
      if next == target.directory { throw .invalidArgument }
      for case .directory(let child) in directories[next, default: [:]].values {
        below.append(child)
      }
    }
  }

  /// The slots of a new hard link, checked.
  package func checkLink(
    _ path: FilePath, to target: FilePath
  ) throws(Errno) -> (source: Slot, target: Slot) {
    let from = try slot(for: path)
    switch entry(at: from) {
    case .file: return (from, try freeSlot(for: target))
    case .directory: throw .notPermitted
    case nil: throw .noSuchFileOrDirectory
    }
  }

  /// The slot of a file whose name is to be removed.
  package func checkRemove(_ path: FilePath) throws(Errno) -> Slot {
    _ = try file(at: path)
    return try slot(for: path)
  }

  /// The slot of a directory to be removed, which must be empty.
  package func checkRemoveDirectory(_ path: FilePath) throws(Errno) -> Slot {
    let slot = try slot(for: path)
    switch entry(at: slot) {
    case .directory(let directory):
      guard directories[directory, default: [:]].isEmpty else { throw .directoryNotEmpty }
      return slot
    case .file: throw .notDirectory
    case nil: throw .noSuchFileOrDirectory
    }
  }

  /// Every path below the root with what it names, directories before what is in them.
  package var allPaths: [(path: FilePath, entry: Entry)] {
    var found: [(path: FilePath, entry: Entry)] = []
    var waiting = [(path: FilePath("/"), directory: Self.root)]
    while let next = waiting.popLast() {
      let entries = directories[next.directory, default: [:]].sorted { $0.key < $1.key }
      for (name, entry) in entries {
        let path = next.path.appending(name)
        found.append((path, entry))
        if case .directory(let directory) = entry { waiting.append((path, directory)) }
      }
    }
    return found
  }
}
