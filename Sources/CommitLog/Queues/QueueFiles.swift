package import EventModel
internal import LogFormat
package import StorageIO
package import SystemPackage

/// The files that hold what outlives the queues' journal: one for each device, and a directory of
/// them (format-spec §14.4, §14.5).
///
/// A file is written once, by a checkpoint, and becomes part of the store when the manifest names
/// that checkpoint. Where a device has several the youngest one holds.
package struct QueueFiles: Sendable {
  package let context: LogContext

  private var fileSystem: any FileSystem { context.fileSystem }
  private var folder: FilePath { context.root.appending(FileNames.queues) }

  package init(_ context: LogContext) { self.context = context }

  package func path(of device: EventModel.DeviceID, checkpoint: UInt32) -> FilePath {
    folder.appending(FileNames.queueFolder(of: device))
      .appending(FileNames.queueFile(of: device, checkpoint: checkpoint))
  }

  package func directoryPath(checkpoint: UInt32) -> FilePath {
    folder.appending(FileNames.queueDirectory(checkpoint: checkpoint))
  }

  // MARK: Writing

  /// Makes a device's file; its records follow.
  package func begin(
    _ device: EventModel.DeviceID, checkpoint: UInt32, _ writer: inout BatchFileWriter
  ) throws(CommitLogFailure) {
    let path = path(of: device, checkpoint: checkpoint)
    try CommitLogFailure.wrapping { () throws(IOFailure) in
      let directory = path.removingLastComponent()
      if try fileSystem.kind(of: directory) == nil { try fileSystem.createDirectory(directory) }
    }
    try begin(path, .queue, checkpoint, &writer)
  }

  /// Makes a directory; its records follow.
  package func beginDirectory(
    checkpoint: UInt32, _ writer: inout BatchFileWriter
  ) throws(CommitLogFailure) {
    try begin(directoryPath(checkpoint: checkpoint), .queueDirectory, checkpoint, &writer)
  }

  private func begin(
    _ path: FilePath, _ kind: FileHeader.Kind, _ checkpoint: UInt32,
    _ writer: inout BatchFileWriter
  ) throws(CommitLogFailure) {
    let file = try CommitLogFailure.wrapping { () throws(IOFailure) in
      try fileSystem.open(path, .create)
    }
    var header = FileHeader(
      kind: kind, storeID: context.storeID, fileID: UInt64(checkpoint),
      salt: context.environment.random(), created: context.environment.now())
    header.stream = .journal
    writer.begin(file, header)
  }

  /// What makes files, and their going, durable; opened before the first of them is made.
  package func openVolume() throws(CommitLogFailure) -> any StorageVolume {
    try CommitLogFailure.wrapping { () throws(IOFailure) in try fileSystem.openVolume(of: folder) }
  }

  /// Removes a device's file if it is there.
  package func remove(_ device: EventModel.DeviceID, checkpoint: UInt32) throws(CommitLogFailure) {
    try remove(path(of: device, checkpoint: checkpoint))
  }

  package func removeDirectory(checkpoint: UInt32) throws(CommitLogFailure) {
    try remove(directoryPath(checkpoint: checkpoint))
  }

  /// A folder in a file's place stays: it is nobody's, and keeps nobody from anything.
  private func remove(_ path: FilePath) throws(CommitLogFailure) {
    do throws(IOFailure) {
      try fileSystem.remove(path)
    } catch {
      if !error.isNoFile { throw CommitLogFailure(error) }
    }
  }

  /// Moves a device's file that is damaged to the quarantine (I7).
  package func setAside(_ device: EventModel.DeviceID, checkpoint: UInt32) throws(CommitLogFailure)
  {
    let path = path(of: device, checkpoint: checkpoint)
    try CommitLogFailure.wrapping { () throws(IOFailure) in
      guard try fileSystem.kind(of: path) == .file else { return }
      try context.quarantine.take(
        path, name: "\(FileNames.queues)-\(path.lastComponent?.string ?? "")")
    }
  }

  // MARK: Finding

  /// The queue files that there are.
  package func list() throws(CommitLogFailure) -> [(
    device: EventModel.DeviceID, checkpoint: UInt32
  )] {
    try CommitLogFailure.wrapping { () throws(IOFailure) in
      var files: [(device: EventModel.DeviceID, checkpoint: UInt32)] = []
      guard try fileSystem.kind(of: folder) == .directory else { return [] }
      for entry in try fileSystem.list(folder)
      where entry.kind == .directory && entry.name.utf8.count == 2 {
        for file in try fileSystem.list(folder.appending(entry.name)) {
          guard file.kind == .file, let parsed = FileNames.parseQueueFile(file.name),
            FileNames.queueFolder(of: parsed.device) == entry.name
          else { continue }
          files.append(parsed)
        }
      }
      return files
    }
  }

  /// The checkpoints whose directories are there.
  package func listDirectories() throws(CommitLogFailure) -> [UInt32] {
    try CommitLogFailure.wrapping { () throws(IOFailure) in
      guard try fileSystem.kind(of: folder) == .directory else { return [] }
      return try fileSystem.list(folder).compactMap { FileNames.parseQueueDirectory($0.name) }
    }
  }

  // MARK: Reading

  package func file(
    of device: EventModel.DeviceID, checkpoint: UInt32
  ) throws(CommitLogFailure) -> BatchFile {
    try BatchFile(
      path(of: device, checkpoint: checkpoint), .queue, checkpoint: checkpoint, of: context)
  }

  package func directory(checkpoint: UInt32) throws(CommitLogFailure) -> BatchFile {
    try BatchFile(
      directoryPath(checkpoint: checkpoint), .queueDirectory, checkpoint: checkpoint, of: context)
  }
}
