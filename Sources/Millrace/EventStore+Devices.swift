internal import CommitLog
public import EventModel
internal import LogFormat

extension EventStore {
  /// The events of one device, in order.
  ///
  /// Batches that hold none of them are not decompressed; in sealed segments they are not even
  /// looked at. Gaps are told where events of the device may be gone.
  ///
  /// - Parameters:
  ///   - device: the device; one that has sent nothing has no batches.
  ///   - position: where to begin in its partition.
  ///   - end: where to stop; what is durable now unless given.
  /// - Returns: batches that hold the device's events alone.
  public func batches(
    of device: EventModel.DeviceID, from position: ReadPosition = .earliest,
    until end: ReadEnd = .highWatermark
  ) -> EventBatches {
    batches(of: [device], in: partition(of: device), from: position, until: end)
  }

  /// The events of some devices in a partition, in order.
  ///
  /// - Parameters:
  ///   - devices: the devices; those whose events are in other partitions have none here.
  ///   - partition: the partition.
  ///   - position: where to begin.
  ///   - end: where to stop; what is durable now unless given.
  /// - Returns: batches that hold these devices' events alone.
  public func batches(
    of devices: Set<EventModel.DeviceID>, in partition: PartitionID,
    from position: ReadPosition = .earliest, until end: ReadEnd = .highWatermark
  ) -> EventBatches {
    batches(of: DeviceFilter(devices), in: partition, until: end) { position }
  }

  /// The newest durable event of a device; nil if it has none that can be read.
  ///
  /// Decompresses one batch where the device's segment is sealed.
  public func lastEvent(
    of device: EventModel.DeviceID
  ) async throws(EventStoreError) -> EventView? {
    let partition = partition(of: device)
    let source = source
    return try await source.readers.offload { () throws(EventStoreError) in
      do throws(CommitLogFailure) {
        let found = try LastEvent.find(
          of: device, in: source.snapshot(of: partition.number), mappings: source.mappings,
          fileSystem: source.fileSystem)
        return found.map { EventView($0.batch, index: $0.index, partition: partition) }
      } catch {
        throw EventStoreError(error)
      }
    }
  }
}
