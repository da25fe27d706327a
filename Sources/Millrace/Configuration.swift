public import EventModel
public import Logging

extension EventStore {
  /// What a store is made with, and what holds while it is open.
  ///
  /// The first four are kept in the store when it is created; an existing store keeps its own.
  public struct Configuration: Sendable {
    /// Partitions of a new store, 1 to `Limits.partitionCountMax`; fixed for ever.
    ///
    /// 4 unless given.
    public var partitionCount: Int
    /// Size at which a segment is sealed and the next one begun.
    ///
    /// 128 MiB unless given.
    public var segmentSize: ByteCount
    /// How batches are compressed.
    ///
    /// LZ4 unless given; nil takes the store's own.
    public var compression: CompressionCodec?
    /// What may be dropped when it is old or the store is large.
    ///
    /// Kept in the store. Nothing unless given.
    public var retention: Retention
    /// Bytes before compression at which a batch is full.
    ///
    /// 64 KiB unless given.
    public var batchSize: ByteCount
    /// Bytes of events that may wait in memory to be written; appends wait when it is full.
    ///
    /// 32 MiB unless given, shared among the partitions; each has room for four batches at least,
    /// and for the one that is being filled.
    public var bufferSize: ByteCount
    /// Where recoveries and failures are told.
    public var logger: Logger

    /// Makes a configuration.
    public init(
      partitionCount: Int = 4, segmentSize: ByteCount = .mebibytes(128),
      compression: CompressionCodec? = nil, retention: Retention = .unlimited,
      batchSize: ByteCount = .kibibytes(64), bufferSize: ByteCount = .mebibytes(32),
      logger: Logger = Logger(label: "millrace")
    ) {
      self.partitionCount = partitionCount
      self.segmentSize = segmentSize
      self.compression = compression
      self.retention = retention
      self.batchSize = batchSize
      self.bufferSize = bufferSize
      self.logger = logger
    }
  }

  /// What may be dropped: segments whose events are older than the age, and the oldest ones of a
  /// store larger than the size.
  public struct Retention: Hashable, Sendable {
    /// The age; nil keeps events for ever.
    public var age: Duration?
    /// The size of all segments; nil keeps everything.
    public var size: ByteCount?
    /// Whether segments stay until every consumer group has read them.
    ///
    /// A group counts once it was made or has committed anything; one that has committed nothing in
    /// a partition holds all of it.
    public var keepUntilConsumed: Bool
    /// The size of all segments beyond which unread ones go all the same; nil for no bound.
    public var unreadSizeMax: ByteCount?

    /// Makes a rule.
    public init(
      age: Duration? = nil, size: ByteCount? = nil, keepUntilConsumed: Bool = false,
      unreadSizeMax: ByteCount? = nil
    ) {
      self.age = age
      self.size = size
      self.keepUntilConsumed = keepUntilConsumed
      self.unreadSizeMax = unreadSizeMax
    }

    /// Keeps everything.
    public static let unlimited = Self()
  }

  /// How a store is opened.
  public enum Access: Hashable, Sendable {
    /// For reading and writing by this process alone; made if there is nothing.
    case createIfAbsent
    /// For reading and writing by this process alone; there must be a store.
    case readWrite
    /// For reading, beside a process that writes or without one. Writes nothing.
    case readOnly
  }
}

extension EventStore.Configuration {
  /// Refuses what no store can be made with.
  func validate() throws(EventStoreError) {
    try check("partition count", partitionCount, 1...Limits.partitionCountMax)
    try check(
      "segment size", segmentSize.bytes, Limits.segmentSizeMin...Limits.segmentSizeMax)
    try check("batch size", batchSize.bytes, Limits.batchSizeMin...Limits.batchSizeMax)
  }

  private func check(
    _ name: String, _ value: Int, _ range: ClosedRange<Int>
  ) throws(EventStoreError) {
    guard range.contains(value) else {
      throw EventStoreError(
        .invalidArgument,
        "\(name) is \(value), it must be from \(range.lowerBound) to \(range.upperBound)")
    }
  }
}
