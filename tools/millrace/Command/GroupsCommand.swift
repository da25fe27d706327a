import ArgumentParser
import CommandSupport
import Millrace

/// Looks at consumer groups and changes them.
struct GroupsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "groups",
    abstract: "List, create, delete and reset consumer groups.",
    discussion: """
      Example:
        millrace groups create fleet billing
        millrace groups reset fleet billing --to -2h
        millrace groups list fleet --json
      """,
    subcommands: [
      GroupsListCommand.self, GroupsCreateCommand.self, GroupsDeleteCommand.self,
      GroupsResetCommand.self,
    ])
}

/// Prints each group's place in each partition.
struct GroupsListCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "Print how far each group is.",
    discussion: """
      Works beside a writer.

      Example:
        millrace groups list fleet
      """)

  @Argument(help: ArgumentHelp("The store's folder.", valueName: "store"))
  var store: String

  @Flag(help: "Print an array of JSON objects, one for each group and partition.")
  var json = false

  func run() async throws {
    let open = try await EventStore.open(at: store, configuration: .command, access: .readOnly)
    var report = RecoveryReport(ofGroups: open, path: store)
    let places = try await GroupPlace.all(of: open, &report)
    var output = StandardOutput()
    if json {
      try output.write(JSONValue.array(places.map(\.json)).line)
    } else {
      var table = TextTable([
        ("GROUP", .left), ("PARTITION", .right), ("CHECKPOINT", .right), ("LAG EVENTS", .right),
        ("LAG BYTES", .right), ("LAG SECONDS", .right),
      ])
      for place in places { table.append(place.cells) }
      try output.write(Array(table.text.utf8))
    }
    try output.flush()
    try await open.close()
    try report.end()
  }
}

/// How far a group is in a partition.
struct GroupPlace {
  let group: GroupName
  let partition: PartitionID
  /// Nil where the group has committed nothing.
  let checkpoint: Offset?
  /// Nil where nobody can tell, because the partition cannot be read now.
  let lag: ConsumerLag?

  /// Every group in every partition.
  static func all(
    of store: EventStore, _ report: inout RecoveryReport
  ) async throws(EventStoreError) -> [GroupPlace] {
    var places: [GroupPlace] = []
    for name in store.consumerGroups {
      let group = try await store.consumerGroup(name)
      for partition in store.partitions {
        var lag: ConsumerLag?
        do throws(EventStoreError) {
          lag = try await group.lag(in: partition)
        } catch {
          guard error.code == .ioFailure || error.code == .accessDenied else { throw error }
          report.take(error)
        }
        places.append(
          GroupPlace(
            group: name, partition: partition, checkpoint: group.checkpoint(in: partition)?.next,
            lag: lag))
      }
    }
    return places
  }

  private var lagSeconds: Double? { lag.map { $0.time / .seconds(1) } }

  var json: JSONValue {
    [
      "name": .string(group.text),
      "partition": .integer(partition.number),
      "checkpoint": checkpoint.map { .unsigned($0.value) } ?? .null,
      "lagEvents": lag.map { .unsigned($0.events) } ?? .null,
      "lagBytes": lag.map { .integer($0.size.bytes) } ?? .null,
      "lagSeconds": lagSeconds.map { .number($0) } ?? .null,
    ]
  }

  var cells: [String] {
    [
      group.text, "\(partition.number)", checkpoint.map { "\($0)" } ?? "-",
      lag.map { "\($0.events)" } ?? "-", lag.map { "\($0.size.bytes)" } ?? "-",
      lagSeconds.map { "\(Int($0.rounded()))" } ?? "-",
    ]
  }
}

/// A store and the name of a group in it.
struct GroupArguments: ParsableArguments {
  @Argument(help: ArgumentHelp("The store's folder.", valueName: "store"))
  var store: String

  @Argument(help: ArgumentHelp("The group's name.", valueName: "name"))
  var name: String

  func validate() throws { _ = try groupName() }

  func groupName() throws -> GroupName {
    do throws(InvalidIdentifier) {
      return try GroupName(name)
    } catch {
      throw ValidationError(error.description)
    }
  }

  /// Opens the store for writing.
  func open() async throws(EventStoreError) -> (EventStore, RecoveryReport) {
    let open = try await EventStore.open(at: store, configuration: .command, access: .readWrite)
    return (open, RecoveryReport(open, path: store))
  }

  /// Opens the store for writing; there must be the group.
  func openGroup() async throws -> (EventStore, ConsumerGroup, RecoveryReport) {
    let name = try groupName()
    let (store, report) = try await open()
    guard store.consumerGroups.contains(name) else {
      throw CommandFailure(
        "there is no consumer group '\(name)'; create it with `millrace groups create`")
    }
    return (store, try await store.consumerGroup(name), report)
  }
}

/// Makes a group.
struct GroupsCreateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "create",
    abstract: "Create a group; it begins at the earliest event.",
    discussion: """
      Example:
        millrace groups create fleet billing
      """)

  @OptionGroup var arguments: GroupArguments

  func run() async throws {
    let name = try arguments.groupName()
    let (store, report) = try await arguments.open()
    guard !store.consumerGroups.contains(name) else {
      throw CommandFailure("there is a consumer group '\(name)' already; choose another name")
    }
    _ = try await store.consumerGroup(name)
    try await store.close()
    try report.end()
  }
}

/// Forgets a group.
struct GroupsDeleteCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "delete",
    abstract: "Delete a group and its checkpoints.",
    discussion: """
      Example:
        millrace groups delete fleet billing
      """)

  @OptionGroup var arguments: GroupArguments

  func run() async throws {
    let (store, report) = try await arguments.open()
    try await store.deleteConsumerGroup(try arguments.groupName())
    try await store.close()
    try report.end()
  }
}

/// Moves a group.
struct GroupsResetCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reset",
    abstract: "Move a group to a place in every partition.",
    discussion: """
      Example:
        millrace groups reset fleet billing --to 2024-05-01T00:00:00Z
      """)

  @OptionGroup var arguments: GroupArguments

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Where the group goes on: earliest, latest, a time or a sequence number.",
      valueName: "position"),
    transform: CommandSupport.ReadPosition.parsed)
  var to: CommandSupport.ReadPosition

  func run() async throws {
    let (store, group, report) = try await arguments.openGroup()
    try await group.reset(to: Millrace.ReadPosition(to, now: .now))
    try await store.close()
    try report.end()
  }
}

extension Millrace.ReadPosition {
  /// What an argument means; `now` is what times before now are counted from.
  init(_ argument: CommandSupport.ReadPosition, now: Timestamp) {
    self =
      switch argument {
      case .earliest: .earliest
      case .latest: .latest
      case .sequenceNumber(let offset): .offset(offset)
      case .time(let time): .time(time)
      case .ago(let duration): .time(now.advanced(by: .zero - duration))
      }
  }
}
