internal import CommitLog
internal import EventModel
internal import LogFormat
internal import StorageIO

/// Where readers of an open store take what they show, whichever way it was opened.
protocol ReadSource: AnyObject, Sendable {
  var partitionCount: Int { get }
  var mappings: MappingCache { get }
  var context: LogContext { get }
  /// The last checkpoint of the queues; nil for none.
  var queueCheckpoint: ManifestEdit.QueueCheckpoint? { get }
  /// Threads that read and decode ahead of consumers.
  var readers: WorkerPool { get }
  func snapshot(of partition: Int) -> LogSnapshot
  /// Looks for what another process wrote since; may block for the disk.
  func refresh() throws(EventStoreError)
  /// Has a stale snapshot renewed for a reader whose file is gone; nil where none is ever stale.
  var renewal: (@Sendable () throws(CommitLogFailure) -> Void)? { get }
  /// Returns once there is something behind `number`: false if there never will be.
  func waitForMore(in partition: Int, beyond number: UInt64) async throws(EventStoreError) -> Bool
}

extension ReadSource {
  var fileSystem: any FileSystem { context.fileSystem }

  func cursor(
    in partition: Int, from number: UInt64, of filter: DeviceFilter? = nil,
    readsFew: Bool = false
  ) -> BatchCursor {
    BatchCursor(
      from: number, of: filter, mappings: mappings, fileSystem: fileSystem,
      readsFew: readsFew, refresh: renewal
    ) { [self] in snapshot(of: partition) }
  }
}
