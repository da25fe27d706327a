import CommandSupport
import Millrace
import StorageIO
import SystemPackage

/// How much of the disk a store takes.
enum StoreSize {
  /// The bytes of all files of a store; zero where there is none.
  ///
  /// What is quarantined is counted: it takes room like everything else.
  static func measure(_ store: String) throws(CommandFailure) -> Int {
    let fileSystem = SystemFileSystem()
    do throws(IOFailure) {
      guard try fileSystem.kind(of: FilePath(store)) == .directory else { return 0 }
      return try size(of: FilePath(store), fileSystem)
    } catch {
      throw CommandFailure("\(error); check owner and permissions")
    }
  }

  private static func size(
    of folder: FilePath, _ fileSystem: SystemFileSystem
  ) throws(IOFailure) -> Int {
    var size = 0
    for entry in try fileSystem.list(folder) {
      let path = folder.appending(entry.name)
      switch entry.kind {
      case .file: size += try fileSystem.open(path, .readOnly).size().bytes
      case .directory: size += try self.size(of: path, fileSystem)
      case .other: continue
      }
    }
    return size
  }
}
