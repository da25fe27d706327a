internal import ConsumerCheckpoints
internal import EventModel
internal import LogFormat

/// What a store may and must hold, as plain arrays and dictionaries: the truth that a model-based
/// run compares the engine with.
struct StoreModel: Hashable, Sendable {
  struct Partition: Hashable, Sendable {
    /// Every event by its number, those that retention has let go included.
    var events: [ModelEvent] = []
    /// The first number that is kept.
    var first = 0
    /// The number behind the last event that no crash may take.
    var durable = 0
    /// The number behind the last event whose write has returned.
    var written = 0
    /// The watermark that some frame carries: other processes see at least this.
    var proven = 0
    /// Where retention that has not returned would have what is kept begin.
    var firstInFlight: Int?

    var end: Int { events.count }

    /// Enqueue time of the last event, also when retention has taken it.
    var lastTime: Int64? { events.last?.time }

    /// The first event of some devices among a range of numbers.
    func first(of devices: DeviceMask, in range: Range<Int>) -> Int? {
      range.first { devices.contains(events[$0].device) }
    }
  }

  /// The consumer groups.
  struct Consumers: Hashable, Sendable {
    struct Group: Hashable, Sendable {
      var checkpoints: [UInt32: UInt64] = [:]
      var owners: [UInt32: UInt64] = [:]
    }

    var groups: [GroupName: Group] = [:]
    var highestEpoch: UInt64 = 0

    init() {}

    init(_ table: CheckpointTable) {
      highestEpoch = table.highestEpoch
      groups = table.groups.mapValues { group in
        Group(
          checkpoints: group.checkpoints.mapValues(\.next), owners: group.owners.mapValues(\.epoch))
      }
    }

    /// The smallest number that some group has yet to read.
    func smallestCheckpoint(in partition: UInt32) -> UInt64? {
      groups.values.map { $0.checkpoints[partition] ?? 0 }.min()
    }
  }

  var partitions: [Partition]
  var consumers = Consumers()
  /// The groups as a commit that has not returned would have them.
  var consumersInFlight: Consumers?

  init(partitionCount: Int) {
    partitions = Array(repeating: Partition(), count: partitionCount)
  }
}

/// Some of the devices that events come from, one bit for each.
struct DeviceMask: Hashable, Sendable {
  static let all = Self(bits: .max)

  let bits: Int

  var devices: [Int] { (0...ModelEvent.deviceCount).filter(contains) }

  func contains(_ device: Int) -> Bool { bits >> device & 1 == 1 }
}

/// Where the engine is not what the model says.
struct ModelViolation: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}
