internal import EventModel
internal import StorageIO
internal import SystemPackage

/// A file that stands in for another one and takes nothing.
protocol ReadOnlyFile: StorageFile {
  /// Why it takes nothing.
  var refusal: Errno { get }
}

extension ReadOnlyFile {
  /// A map would show what is on the disk.
  func map(_ size: ByteCount) throws(IOFailure) -> FileMapping { throw refused(.map) }
  func write(_ bytes: RawSpan, at position: FilePosition) throws(IOFailure) {
    throw refused(.write)
  }
  func reserve(_ size: ByteCount) throws(IOFailure) { throw refused(.reserve) }
  func truncate(to size: ByteCount) throws(IOFailure) { throw refused(.truncate) }

  /// There is nothing to make durable.
  func synchronize() {}
  func allocatedSize() throws(IOFailure) -> ByteCount { try size() }

  private func refused(_ operation: IOFailure.Operation) -> IOFailure {
    IOFailure(operation, path, refusal)
  }
}
