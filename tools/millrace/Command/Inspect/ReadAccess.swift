import CommandSupport
import StorageIO
import SystemPackage

/// Whether the files of a store may be read at all.
///
/// Inspection calls a file that it cannot read damaged; of a file that only belongs to somebody
/// else that would be a lie.
enum ReadAccess {
  /// Fails with the first file of a store that this user may not read.
  static func check(
    _ store: String, status: Int32 = ExitStatus.failure
  ) throws(CommandFailure) {
    let fileSystem = SystemFileSystem()
    do throws(IOFailure) {
      guard try fileSystem.kind(of: FilePath(store)) == .directory else { return }
      try check(FilePath(store), fileSystem)
    } catch {
      // Anything else is what the inspection is there to find.
      guard error.isAccessDenied else { return }
      throw CommandFailure("\(error); run as a user who may read it", status: status)
    }
  }

  private static func check(
    _ folder: FilePath, _ fileSystem: SystemFileSystem
  ) throws(IOFailure) {
    for entry in try fileSystem.list(folder) {
      let path = folder.appending(entry.name)
      switch entry.kind {
      case .file: try checkFile(path, fileSystem)
      case .directory: try check(path, fileSystem)
      case .other: continue
      }
    }
  }

  private static func checkFile(
    _ path: FilePath, _ fileSystem: SystemFileSystem
  ) throws(IOFailure) {
    do throws(IOFailure) {
      _ = try fileSystem.open(path, .readOnly)
    } catch {
      if error.isAccessDenied { throw error }
    }
  }
}
