import Foundation
import Glibc
import StorageIO
import SystemPackage

/// Gives a folder of the operating system that nobody else uses, and removes it afterwards.
func withTemporaryFolder(_ body: (FilePath) throws -> Void) throws {
  let parent = FileManager.default.temporaryDirectory.path
  var template = Array("\(parent)/millrace-commitlog-XXXXXX".utf8CString)
  guard mkdtemp(&template) != nil else { throw Errno(rawValue: errno) }
  let folder = template.withUnsafeBufferPointer { text in
    text.baseAddress.map { FilePath(platformString: $0) } ?? ""
  }
  let fileSystem = SystemFileSystem()
  func clear(_ path: FilePath) throws {
    for entry in try fileSystem.list(path) {
      let child = path.appending(entry.name)
      if entry.kind == .directory { try clear(child) } else { try fileSystem.remove(child) }
    }
    try fileSystem.removeDirectory(path)
  }
  do {
    try body(folder)
  } catch {
    try clear(folder)
    throw error
  }
  try clear(folder)
}
