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
    /// Bytes a second at which everything is read once a day to find damage; nil for not at all.
    ///
    /// 4 MiB unless given.
    public var scrubRate: ByteCount?
    /// What holds for the queues of messages to devices while the store is open.
    public var queues: Queues
    /// Where recoveries and failures are told.
    public var logger: Logger

    /// Makes a configuration.
    public init(
      partitionCount: Int = 4, segmentSize: ByteCount = .mebibytes(128),
      compression: CompressionCodec? = nil, retention: Retention = .unlimited,
      batchSize: ByteCount = .kibibytes(64), bufferSize: ByteCount = .mebibytes(32),
      scrubRate: ByteCount? = .mebibytes(4), queues: Queues = Queues(),
      logger: Logger = Logger(label: "millrace")
    ) {
      self.partitionCount = partitionCount
      self.segmentSize = segmentSize
      self.compression = compression
      self.retention = retention
      self.batchSize = batchSize
      self.bufferSize = bufferSize
      self.scrubRate = scrubRate
      self.queues = queues
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

  /// What holds for the queues of messages to devices; the hub's numbers unless given.
  public struct Queues: Hashable, Sendable {
    /// Messages that may wait for one device, locked ones included; up to
    /// `Limits.queueDepthMax`.
    public var depthMax: Int
    /// Bytes of them; as many as `depthMax` messages of the largest size unless given.
    public var sizeMax: ByteCount?
    /// Time to live of a message that brings none.
    public var timeToLive: Duration
    /// Feedback for a message that asks for none.
    public var feedback: FeedbackMode
    /// Time until a lock runs out, where a receiver asks for none.
    public var lockDuration: Duration
    /// Deliveries of one message, at most; up to `Limits.deliveryCountMax`.
    public var deliveryCountMax: Int
    /// Whether a lock that runs out counts as a delivery; otherwise an abandoned one alone does, as
    /// in the hub since 2026.
    public var lockTimeoutsCount: Bool
    /// Memory for messages that were sent lately, so that a device that comes for them soon waits
    /// for no disk.
    public var cacheSize: ByteCount
    /// What of the feedback may be dropped; nothing unless given.
    ///
    /// The size is that of the feedback alone; its last segment stays.
    public var feedbackRetention: Retention
    /// What of the dead letters may be dropped; nothing unless given.
    ///
    /// The size is that of the dead letters alone; their last segment stays.
    public var deadLetterRetention: Retention
    /// Size of the journal's segments, so that simulations roll often; nil for the usual one.
    package var journalSegmentSize: Int?

    /// Makes the rules.
    public init(
      depthMax: Int = 50, sizeMax: ByteCount? = nil, timeToLive: Duration = .seconds(3_600),
      feedback: FeedbackMode = .none, lockDuration: Duration = .seconds(60),
      deliveryCountMax: Int = 10, lockTimeoutsCount: Bool = true,
      cacheSize: ByteCount = .mebibytes(32),
      feedbackRetention: Retention = .unlimited, deadLetterRetention: Retention = .unlimited
    ) {
      self.depthMax = depthMax
      self.sizeMax = sizeMax
      self.timeToLive = timeToLive
      self.feedback = feedback
      self.lockDuration = lockDuration
      self.deliveryCountMax = deliveryCountMax
      self.lockTimeoutsCount = lockTimeoutsCount
      self.cacheSize = cacheSize
      self.feedbackRetention = feedbackRetention
      self.deadLetterRetention = deadLetterRetention
    }
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
    if let scrubRate { try check("scrub rate", scrubRate.bytes, 1...Int.max) }
    try check("queue depth", queues.depthMax, 1...Limits.queueDepthMax)
    try check("delivery count", queues.deliveryCountMax, 1...Limits.deliveryCountMax)
    try queues.timeToLive.check(asA: "time to live")
    try queues.lockDuration.check(asA: "lock duration")
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

extension Duration {
  /// Refuses a time that is not positive, or no clock can count.
  func check(
    asA name: String, from least: Duration = .microseconds(1)
  ) throws(EventStoreError) {
    guard self >= least, self <= .seconds(100 * 366 * 86_400) else {
      throw EventStoreError(
        .invalidArgument, "the \(name) is \(self); it must be positive and below a hundred years")
    }
  }
}
