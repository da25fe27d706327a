import ArgumentParser
import CommandSupport
import LogInspection
import Millrace
import StorageIO
import SystemPackage

/// Saves the events in bytes that are no store any more.
struct SalvageCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "salvage",
    abstract: "Find whole frames in any bytes and append their events to a new store.",
    discussion: """
      Reads a broken store, a segment, a folder of files or the image of a disk, and changes \
      nothing there. Every event that is still whole is saved once, with its time, in the order of \
      its device. What belongs to queues, feedback and dead letters is counted and left. Ends with \
      status 2 if damaged frames were met.

      Examples:
        millrace salvage broken --into saved
        millrace salvage disk.img --into saved --json
      """)

  @Argument(help: ArgumentHelp("A file, a device or a folder.", valueName: "path"))
  var path: String

  @Option(help: ArgumentHelp("The folder of the new store.", valueName: "store"))
  var into: String

  @Flag(help: "Print the summary as JSON.")
  var json = false

  @Flag(help: "Show no progress.")
  var quiet = false

  func run() async throws {
    let began = ContinuousClock.now
    try checkVacant()
    try ReadAccess.check(path)
    let salvage = try await OwnThread.run { [path, quiet] in try Self.search(path, quiet) }
    guard salvage.counts.frames > 0 else {
      throw CommandFailure(
        "\(path): no events found in \(salvage.counts.bytes) bytes; name the store's folder, a "
          + "segment or an image of the disk")
    }
    var configuration = EventStore.Configuration.command
    if let count = salvage.partitionCount { configuration.partitionCount = count }
    try await EventStore.create(at: into, configuration: configuration)
    let open = try await EventStore.open(
      at: into, configuration: configuration, access: .readWrite)
    let saved = try await OwnThread.run { [quiet] in try Self.save(salvage, into: open, quiet) }
    try await open.close()
    let summary = SalvageSummary(
      counts: salvage.counts, saved: saved, elapsed: ContinuousClock.now - began)
    var output = StandardOutput()
    if json { try output.write(summary.json.line) } else { try output.writeLine(summary.text) }
    try output.flush()
    guard let losses = summary.losses else { return }
    StandardError.notice("\(path): \(losses); keep it, \(into) has the rest")
    throw ExitCode(ExitStatus.damage)
  }

  /// Fails where no store can be made, before a search that may take hours.
  private func checkVacant() throws {
    let fileSystem = SystemFileSystem()
    let kind = try fileSystem.kind(of: FilePath(into))
    let isVacant = try kind == nil || kind == .directory && fileSystem.list(FilePath(into)).isEmpty
    guard isVacant else {
      throw CommandFailure(
        "\(into) is there already; salvage makes a new store, name a folder that is empty or absent"
      )
    }
  }

  private static func search(_ path: String, _ isQuiet: Bool) throws -> Salvage {
    var progress = Progress("searching", unit: "bytes", isQuiet: isQuiet)
    defer { progress.finish() }
    do throws(InspectionFailure) {
      return try Salvage(FilePath(path), fileSystem: SystemFileSystem()) { progress.update($0) }
    } catch {
      throw CommandFailure(error)
    }
  }

  private static func save(
    _ salvage: Salvage, into store: EventStore, _ isQuiet: Bool
  ) throws -> SalvageSummary.Saved {
    var saved = SalvageSummary.Saved()
    var progress = Progress("saving", unit: "events", isQuiet: isQuiet)
    defer { progress.finish() }
    var appender = store.makeAppender()
    do throws(EventStoreError) {
      saved.reading = try salvage.forEachEvent { (event) throws(EventStoreError) in
        do throws(EventStoreError) {
          try appender.append(event)
          saved.events += 1
          progress.update(saved.events)
        } catch {
          // What no store takes, whoever wrote it, keeps nothing else from being saved.
          guard Self.refusals.contains(error.code) else { throw error }
          saved.refused += 1
        }
      }
      try appender.synchronize()
    } catch {
      throw CommandFailure(
        "\(error.message); the new store is not complete: remove it and begin again")
    }
    return saved
  }

  private static let refusals: Set<EventStoreError.Code> = [
    .limitExceeded, .invalidArgument, .enqueueTimeAhead,
  ]
}

/// What salvage ends with.
struct SalvageSummary {
  struct Saved {
    var events = 0
    /// Events that the store did not take.
    var refused = 0
    var reading = Salvage.Reading()
  }

  let counts: Salvage.Counts
  let saved: Saved
  let elapsed: Duration

  /// What could not be saved; nil if there is nothing.
  var losses: String? {
    let losses = [
      (counts.damaged + saved.reading.changed, "damaged frames"),
      (saved.refused, "events that no store takes"),
      (counts.unreadable, "files or folders that cannot be read"),
    ]
    let texts = losses.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }
    return texts.isEmpty ? nil : texts.joined(separator: ", ")
  }

  var json: JSONValue {
    [
      "files": .integer(counts.files), "bytes": .integer(counts.bytes),
      "frames": .integer(counts.frames), "events": .integer(saved.events),
      "duplicates": .integer(saved.reading.duplicates), "healed": .integer(counts.healed),
      "left": .integer(counts.left),
      "damaged": .integer(counts.damaged + saved.reading.changed),
      "refused": .integer(saved.refused), "unreadable": .integer(counts.unreadable),
      "seconds": .number((elapsed / .milliseconds(1)).rounded() / 1_000),
    ]
  }

  var text: String {
    var text = "\(saved.events) events from \(counts.frames) frames"
    text += " in \(counts.bytes) bytes of \(counts.files) files"
    if saved.reading.duplicates > 0 { text += "; \(saved.reading.duplicates) duplicates left out" }
    if counts.healed > 0 { text += "; \(counts.healed) frames healed" }
    if counts.left > 0 {
      text += "; \(counts.left) frames of queues, feedback and dead letters left"
    }
    return text
  }
}
