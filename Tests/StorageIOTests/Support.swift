import EventModel
import Foundation
import SimulationKit
import StorageIO
import SystemPackage
import Testing

/// The file systems that must keep the seam's contract.
enum Backend: String, CaseIterable, CustomTestStringConvertible {
  case memory
  case system
  case simulated

  var testDescription: String { rawValue }

  /// Runs a body with an empty directory of this file system.
  func withDirectory(_ body: (any FileSystem, FilePath) throws -> Void) throws {
    let fileSystem: any FileSystem
    switch self {
    case .memory: fileSystem = MemoryFileSystem()
    case .simulated: fileSystem = SimulatedDisk()
    case .system:
      try withTemporaryDirectory { try body(SystemFileSystem(), $0) }
      return
    }
    let root = FilePath("/contract")
    try fileSystem.createDirectory(root)
    try body(fileSystem, root)
  }
}

/// Runs a body with an empty directory on the disk, which is removed afterwards.
func withTemporaryDirectory(_ body: (FilePath) throws -> Void) throws {
  let url = FileManager.default.temporaryDirectory
    .appendingPathComponent("millrace-storage-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
  defer { try? FileManager.default.removeItem(at: url) }
  try body(FilePath(url.path))
}

extension StorageFile {
  func write(_ bytes: [UInt8], at position: Int = 0) throws(IOFailure) {
    try write(bytes.span.bytes, at: FilePosition(position))
  }

  func write(_ text: String, at position: Int = 0) throws(IOFailure) {
    try write(Array(text.utf8), at: position)
  }

  func read(_ count: Int, at position: Int = 0) throws(IOFailure) -> [UInt8] {
    var bytes = [UInt8](repeating: 0xAA, count: count)
    var span = bytes.mutableSpan
    var buffer = span.mutableBytes
    let length = try read(into: &buffer, at: FilePosition(position))
    return Array(bytes.prefix(length))
  }

  func text() throws(IOFailure) -> String {
    String(decoding: try read(try size().bytes), as: UTF8.self)
  }
}

extension FileSystem {
  /// Makes a file with these bytes, not synced.
  @discardableResult
  func create(_ path: FilePath, _ text: String) throws(IOFailure) -> any StorageFile {
    let file = try open(path, .create)
    try file.write(text)
    return file
  }

  func text(at path: FilePath) throws(IOFailure) -> String {
    try open(path, .readOnly).text()
  }
}

extension FileMapping {
  func copy(_ count: Int, from position: Int, seed: UInt32 = 0) throws(IOFailure)
    -> (bytes: [UInt8], checksum: UInt32)
  {
    var bytes = [UInt8](repeating: 0, count: count)
    var span = bytes.mutableSpan
    var buffer = span.mutableBytes
    let checksum = try copy(into: &buffer, from: FilePosition(position), seed: seed)
    return (bytes, checksum)
  }
}
