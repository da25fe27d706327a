/// Every maximum of the store, each with its reason.
///
/// What exceeds one gets a ``LimitExceeded``.
public enum Limits {
  /// Bytes of one event: body, values of system properties, names and values of application
  /// properties.
  ///
  /// The hub's limit for device-to-cloud messages.
  public static let eventSizeMax = 256 << 10

  /// Bytes of a device, module or message id.
  ///
  /// The hub's limit.
  public static let identifierSizeMax = 128

  /// Characters of a consumer group's name.
  ///
  /// The hub's limit.
  public static let groupNameSizeMax = 50

  /// Consumer groups of a store, so that the checkpoint table stays a few megabytes.
  public static let groupCountMax = 1_000

  /// Partitions of a store: each costs a descriptor and a file to sync.
  public static let partitionCountMax = 1_024

  /// Application properties of one event; bounds the work of decoding one property set.
  public static let propertyCountMax = 1_000

  /// Bytes before compression at which a batch is full, at most.
  public static let batchSizeMax = 1 << 20

  /// Bytes before compression at which a batch is full, at least.
  public static let batchSizeMin = 4 << 10

  /// Records of one batch, so that a device index fits two bytes.
  public static let batchRecordCountMax = 65_535

  /// Bytes that a batch's columns or payload may take before compression.
  ///
  /// A decoder refuses more, so that no damaged length makes it allocate without bound.
  package static let blockSizeMax = 8 << 20

  /// Bytes of the uncompressed section of a frame; bounds what a header may ask a reader to load.
  package static let clearSectionSizeMax = 16 << 20

  /// Numbers, segment ids, positions and sizes in files: what a signed integer holds, so that no
  /// damaged one makes a sum overflow.
  package static let numberMax = UInt64(Int64.max)

  /// Numbers that a log must have left to be written to: more than are ever given between two
  /// openings, so that none is given that no reader takes.
  package static let numberReserve: UInt64 = 1 << 48

  /// Where frames stand in a file, at most: far behind the end of the largest segment, and near
  /// enough that going from place to place comes to an end.
  package static let framePositionMax: UInt64 = 1 << 40

  /// Bytes of a file or a disk that is read at all: far more than there are, and few enough that no
  /// place in it makes a sum overflow.
  package static let fileSizeMax = 1 << 48

  /// Checkpoints of the queues, so that there is always a number behind one that was read.
  package static let queueCheckpointMax: UInt32 = 1 << 31 - 1

  /// Segment sizes: small enough to test rolling, large enough for a 64-bit log.
  public static let segmentSizeMin = 64 << 10
  /// Segment sizes: file positions of a segment stay far below what a map may cover.
  public static let segmentSizeMax = 16 << 30

  /// Bytes of a partition that may be written and not yet synced (design 3): the tail that opening
  /// has to examine.
  package static let unsyncedSizeMax = 8 << 20

  /// Bytes of one message to a device: body, values of system properties, names and values of
  /// application properties.
  ///
  /// The hub's limit for cloud-to-device messages.
  public static let messageSizeMax = 64 << 10

  /// Messages that wait for one device, at most: their places take memory.
  public static let queueDepthMax = 100_000

  /// Bytes on the disk that the journal of the queues keeps for settlements, at most: a hundred
  /// thousand messages can be received and completed on a full disk.
  package static let journalReserveSize = 8 << 20

  /// Entries of one record of the queues' journal, at most: bounds what is decided before it is
  /// applied, and what a reader decodes before it does.
  package static let journalRunCountMax = 256

  /// Deliveries of one message, at most: the number takes two bytes.
  public static let deliveryCountMax = 65_535

  /// Bytes of batches that salvage has open at once, before it opens no more: as many as overlap in
  /// time.
  package static let salvageMemoryMax = 256 << 20

  /// Bytes that salvage checks in vain for each byte it has passed, at most: whatever its input
  /// claims to be, the time grows with its size alone.
  package static let salvageEffortMax = 32

  /// How far an imported enqueue time may lie ahead of the clock.
  public static let enqueueTimeLeadMax: Duration = .seconds(86_400)
}

/// A value that is larger or longer than the store accepts.
public struct LimitExceeded: Error, Hashable, Sendable, CustomStringConvertible {
  /// The limit's name, such as `event size`.
  public let limit: String
  /// The largest value accepted.
  public let maximum: Int
  /// The value found.
  public let value: Int

  /// Makes the error.
  public init(_ limit: String, maximum: Int, value: Int) {
    self.limit = limit
    self.maximum = maximum
    self.value = value
  }

  /// The value as text, for messages.
  public var description: String {
    "\(limit) is \(value), the limit is \(maximum)"
  }
}
