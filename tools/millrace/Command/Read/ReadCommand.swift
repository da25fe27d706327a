import ArgumentParser
import CommandSupport
import Millrace

/// Prints the events of a store.
struct ReadCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "read",
    abstract: "Print events, in the order of their times.",
    discussion: """
      Works beside a writer. Ends with status 2 if events are missing.

      Examples:
        millrace read fleet --device thermometer-7 --from -2h
        millrace read fleet --device thermometer-7 --last
        millrace read fleet --from latest --follow --format body
        millrace read fleet --group billing --commit --max 1000
      """)

  enum Format: String, CaseIterable, ExpressibleByArgument { case json, body }

  @Argument(help: ArgumentHelp("The store's folder.", valueName: "store"))
  var store: String

  @Option(help: ArgumentHelp("Begin at the checkpoint of a consumer group.", valueName: "name"))
  var group: String?

  @Flag(help: "Move the group's checkpoint to what was printed. Needs the writer's lock.")
  var commit = false

  @Option(help: ArgumentHelp("Only this partition; may be repeated.", valueName: "n"))
  var partition: [Int] = []

  @Option(help: ArgumentHelp("Only this device; may be repeated.", valueName: "id"))
  var device: [String] = []

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Where to begin: earliest, latest, a sequence number or a time. (default: earliest)",
      valueName: "position"),
    transform: CommandSupport.ReadPosition.parsed)
  var from: CommandSupport.ReadPosition?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The sequence number or time at which to end; it is not printed.", valueName: "position"),
    transform: ReadLimit.parsed)
  var until: ReadLimit?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The number of events, over all partitions.", valueName: "n"))
  var max: Int?

  @Flag(help: "Go on with what comes, until interrupted.")
  var follow = false

  @Flag(help: "Only the newest event of each --device.")
  var last = false

  @Option(help: "What to print: the whole event, or its body alone.")
  var format = Format.json

  func validate() throws {
    if commit, group == nil { throw ValidationError("--commit needs --group") }
    if commit, !device.isEmpty {
      throw ValidationError(
        "--commit has no meaning with --device: the checkpoint would pass other devices' events")
    }
    if last { try validateLast() }
    if let max, max < 0 { throw ValidationError("--max is \(max), it must not be negative") }
    if let wrong = partition.first(where: { $0 < 0 }) {
      throw ValidationError("--partition is \(wrong), partitions are numbered from 0")
    }
    do throws(InvalidIdentifier) {
      if let group { _ = try GroupName(group) }
      for name in device { _ = try DeviceID(name) }
    } catch {
      throw ValidationError(error.description)
    }
  }

  private func validateLast() throws {
    guard !device.isEmpty else { throw ValidationError("--last needs --device") }
    let others = [
      "--group": group != nil, "--partition": !partition.isEmpty, "--from": from != nil,
      "--until": until != nil, "--max": max != nil, "--follow": follow,
    ]
    guard let other = others.filter(\.value).keys.sorted().first else { return }
    throw ValidationError(
      "--last has no meaning with \(other): it prints one event of each device, the newest")
  }

  func run() async throws {
    if last { return try await printLast() }
    let open = try await EventStore.open(
      at: store, configuration: .command, access: commit ? .readWrite : .readOnly)
    let report =
      commit
      ? RecoveryReport(open, path: store)
      : group == nil ? nil : RecoveryReport(ofGroups: open, path: store)
    let chosen = try await consumerGroup(in: open)
    let now = Timestamp.now
    let parts = try await parts(of: open, chosen, now)
    var selection = EventPrinter.Selection()
    if !device.isEmpty { selection.devices = device.map { Array($0.utf8) } }
    selection.from = from?.instant(now: now)
    selection.until = until?.position.instant(now: now)
    selection.count = max ?? .max
    let printer = EventPrinter(format == .json ? .json : .body, selection)
    let reading = EventReading(
      store: open, parts: parts, printer: printer,
      devices: Set(try device.map { try DeviceID($0) }), group: commit ? chosen : nil,
      goesBack: from != nil)
    if follow { try reading.stopWhenUnwanted() }
    do {
      try await reading.readKnown()
      if follow, !printer.isDone { try await reading.readOn() }
    } catch OutputFailure.closedPipe {
      try await reading.commit()
    }
    try await open.close()
    if printer.gapCount > 0 { throw ExitCode(ExitStatus.damage) }
    try report?.end()
  }

  private func printLast() async throws {
    let open = try await EventStore.open(
      at: store, configuration: .command, access: .readOnly)
    let printer = EventPrinter(format == .json ? .json : .body, EventPrinter.Selection())
    var events: [EventView] = []
    var gaps: Set<Gap> = []
    for device in Set(try device.map { try DeviceID($0) }) {
      let event = try await open.lastEvent(of: device)
      if let event { events.append(event) }
      // Where events behind it are gone, one of them may have been newer.
      let start = event.map { Millrace.ReadPosition.offset($0.position.offset.advanced(by: 1)) }
      for try await batch in open.batches(of: device, from: start ?? .earliest) {
        if let gap = batch.gap, gaps.insert(gap).inserted { printer.note(gap) }
      }
    }
    try printer.print(events)
    try await open.close()
    if printer.gapCount > 0 { throw ExitCode(ExitStatus.damage) }
  }

  /// The group that was asked for.
  ///
  /// One that does not exist has no checkpoints: without `--commit` nothing is to be made for it,
  /// and reading begins at the earliest event.
  private func consumerGroup(in store: EventStore) async throws -> ConsumerGroup? {
    guard let group else { return nil }
    let name = try GroupName(group)
    guard commit || store.consumerGroups.contains(name) else { return nil }
    return try await store.consumerGroup(name)
  }

  /// The partitions that are read, and which part of them.
  private func parts(
    of store: EventStore, _ group: ConsumerGroup?, _ now: Timestamp
  ) async throws -> [EventReading.Part] {
    var chosen =
      partition.isEmpty ? store.partitions : Set(partition).sorted().map { PartitionID($0) }
    if !device.isEmpty {
      let homes = Set(try device.map { store.partition(of: try DeviceID($0)) })
      chosen.removeAll { !homes.contains($0) }
    }
    var limit: Offset?
    if case .sequenceNumber(let offset)? = until?.position { limit = offset }
    return try chosen.map { partition in
      let known = try store.offsets(in: partition).upperBound
      return EventReading.Part(
        partition: partition, start: start(in: partition, group, known, now), limit: limit,
        known: known)
    }
  }

  private func start(
    in partition: PartitionID, _ group: ConsumerGroup?, _ known: Offset, _ now: Timestamp
  ) -> Millrace.ReadPosition {
    switch from {
    // What comes while the reading begins is not to be missed.
    case .latest?: .offset(known)
    case let position?: Millrace.ReadPosition(position, now: now)
    case nil: group?.checkpoint(in: partition).map { .offset($0.next) } ?? .earliest
    }
  }
}
